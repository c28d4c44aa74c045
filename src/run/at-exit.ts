const works = new Set<() => void>();

/** Done when the process exits before it is taken back (the last Ctrl-C): what must not outlive it. Synchronous, and must not throw. Returns what takes it back. */
export function atExit(work: () => void): () => void {
  // One listener, however many: Node warns of more than ten.
  if (works.size === 0) process.on('exit', doAll);
  works.add(work);
  return () => {
    works.delete(work);
    if (works.size === 0) process.off('exit', doAll);
  };
}
function doAll(): void {
  for (const work of works) work();
}
