import type { Finding } from './finding.ts';
import { readManifestFiles } from './manifest-files.ts';
import { isFields, type ManifestObject } from './manifest-object.ts';
import { parseManifest } from './manifests.ts';
import { error, type RuleFinding } from './rules/rule.ts';
import type { Gate } from './schema.ts';

export interface ReadGateJobs {
  /** By the name of their gate. */
  readonly jobs: ReadonlyMap<string, ManifestObject>;
  /** Of upgrade.gates, for a place in cluster.yaml. */
  readonly ofEntries: readonly RuleFinding[];
  /** Of what the files hold, with the place there. */
  readonly ofFiles: readonly Finding[];
}

/** Reads the manifests of all gates that are Jobs: one Job each. Throws nothing: whatever is wrong is among the findings. */
export async function readGateJobs(clusterFile: string, gates: readonly Gate[]): Promise<ReadGateJobs> {
  const jobs = new Map<string, ManifestObject>();
  const ofEntries: RuleFinding[] = [];
  const ofFiles: Finding[] = [];
  for (const [i, { name, job }] of gates.entries()) {
    if (job === undefined) continue;
    const { files, problems } = await readManifestFiles(clusterFile, job);
    const wrong = (what: string, { why, next }: { readonly why?: string; readonly next?: string } = {}): void =>
      void ofEntries.push(
        error('upgrade.gate', ['upgrade', 'gates', i, 'job'], what, { ...(why && { why }), ...(next && { next }) }),
      );
    for (const { what, ...details } of problems) wrong(what, details);
    const parsed = files.map((file) => parseManifest(file.text, file.name));
    ofFiles.push(...parsed.flatMap((one) => one.problems));
    const objects = parsed.flatMap(({ manifests }) => manifests.map(({ object }) => object));
    if (problems.length > 0 || parsed.some((one) => one.problems.length > 0)) continue;
    const [first] = objects;
    if (objects.length !== 1 || !first)
      wrong(`${job} holds ${objects.length} objects; gate ${name} is one Job`, {
        next: 'what the Job needs beside it belongs in addons.manifests',
      });
    else if (first.apiVersion !== 'batch/v1' || first.kind !== 'Job')
      wrong(`${job} holds a ${first.kind} of ${first.apiVersion}; gate ${name} is a Job of batch/v1`);
    else {
      const problem = problemOf(first);
      if (problem) wrong(`The Job in ${job} ${problem.what}`, problem);
      else jobs.set(name, first);
    }
  }
  return { jobs, ofEntries, ofFiles };
}

/** What the API would refuse only when the first machine has had its turn. */
function problemOf({ spec }: ManifestObject): { readonly what: string; readonly next?: string } | undefined {
  if (!isFields(spec) || !isFields(spec.template)) return { what: 'has no spec.template' };
  const { spec: pod } = spec.template;
  const containers = isFields(pod) && Array.isArray(pod.containers) ? pod.containers : [];
  if (!isFields(pod) || containers.length === 0) return { what: 'has no containers (spec.template.spec.containers)' };
  if (pod.restartPolicy === 'Never' || pod.restartPolicy === 'OnFailure') return undefined;
  return {
    what: 'has no restartPolicy of a Job (spec.template.spec.restartPolicy)',
    next: 'set it to Never or OnFailure: the API takes no Job without one of the two',
  };
}
