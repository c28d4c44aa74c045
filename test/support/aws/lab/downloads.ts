import { createReadStream, statSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { pipeline } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';

/** What can happen to a download of programs and images out of the store. */
export type DownloadFault =
  /** S3's word for too many requests. */
  | 'slow-down'
  | 'error'
  /** The connection ends before the answer, or in the middle of it. */
  | 'drop'
  | 'cut'
  | 'late'
  /** As many bytes as there should be, and one of them another. */
  | 'wrong-bytes';
export const downloadFaults: readonly DownloadFault[] = ['slow-down', 'error', 'drop', 'cut', 'late', 'wrong-bytes'];

export interface Downloads {
  /** One in so many meets a fault, each kind in turn; 0: none. */
  oneIn: number;
  /** Every download of a path in which this stands arrives with a wrong byte. */
  spoilt: string | undefined;
  /** How many met which. */
  readonly met: ReadonlyMap<DownloadFault, number>;
  /** Sends a file of the asset cache, as S3 would today. */
  send(file: string, to: ServerResponse): Promise<void>;
}

const lateMs = 1_500;

/** Kinds come in turn, not by lot: however few downloads there are, each kind is met. */
export function startDownloads(): Downloads {
  const met = new Map<DownloadFault, number>();
  let count = 0;
  const fateOf = (file: string): DownloadFault | undefined => {
    const { oneIn, spoilt } = downloads;
    if (spoilt !== undefined && file.includes(spoilt)) return 'wrong-bytes';
    if (oneIn === 0) return undefined;
    count++;
    return count % oneIn === 0 ? downloadFaults[(count / oneIn - 1) % downloadFaults.length] : undefined;
  };
  const downloads = {
    oneIn: 0,
    spoilt: undefined as string | undefined,
    met,
    async send(file: string, to: ServerResponse): Promise<void> {
      const fate = fateOf(file);
      if (fate) met.set(fate, (met.get(fate) ?? 0) + 1);
      const refused = (status: number, code: string): void => {
        to.writeHead(status, { 'content-type': 'application/xml' });
        to.end(`<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code></Error>`);
      };
      if (fate === 'slow-down') return refused(503, 'SlowDown');
      if (fate === 'error') return refused(500, 'InternalError');
      if (fate === 'drop') return void to.socket?.destroy();
      if (fate === 'late') await sleep(lateMs);
      const { size } = statSync(file);
      to.writeHead(200, { 'content-length': size });
      const content = createReadStream(file, fate === 'cut' ? { end: size >> 1 } : {});
      if (fate === 'wrong-bytes')
        content.once('data', (first) => {
          if (typeof first !== 'string') first[0] = (first[0] ?? 0) ^ 1;
        });
      if (fate !== 'cut') return void pipeline(content, to, () => undefined);
      content.pipe(to, { end: false });
      content.once('end', () => to.socket?.destroySoon());
    },
  };
  return downloads;
}
