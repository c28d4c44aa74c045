import type { Finding } from '../config/finding.ts';
import { type ExitCode, exitCodes } from '../errors.ts';
import { unseenOf } from '../plan/make.ts';
import type { Turn } from './rollout.ts';
import { isNothingToDo, type UpgradePlan } from './upgrade-plan.ts';

/**
 * A pipeline must not take for done what was stopped on its way: by Ctrl-C, by a no, or by the end of the maintenance window. Where the command itself named the
 * point (`--pause-after`, `--only`), what was asked for is done.
 */
export function exitCodeOf({ outcome }: Pick<UpgradeResult, 'outcome'>, interrupted: boolean): ExitCode {
  if (outcome === 'declined') return exitCodes.failed;
  if (outcome !== 'stopped') return exitCodes.done;
  return interrupted ? exitCodes.interrupted : exitCodes.failed;
}

/**
 * `--detailed-exitcode` of a dry run: whether `upgrade` would begin, and would do anything. What could not be seen comes first: of that nobody knows what else
 * there is.
 */
export function exitCodeOfDryRun(plan: UpgradePlan): ExitCode {
  if (unseenOf(plan).length > 0) return exitCodes.unreachable;
  if (plan.rollout.obstacles.some(({ severity }) => severity === 'error')) return exitCodes.failed;
  return isNothingToDo(plan) ? exitCodes.done : exitCodes.changesPending;
}

/** How an upgrade ended that did not fail. */
export interface UpgradeResult {
  readonly cluster: string;
  readonly runId: string;
  /** `paused`: at a point that the command named. `stopped`: by the person or the end of the window, with the machine at hand finished. `declined`: before anything was changed. */
  readonly outcome: 'nothing to do' | 'done' | 'paused' | 'stopped' | 'aborted' | 'nothing to abort' | 'declined';
  /** The Kubernetes version that was asked for. */
  readonly kubernetes: string;
  /** Waves that this run worked on, in order. */
  readonly waves: readonly WaveResult[];
  readonly seconds: number;
  /** What is still to do. */
  readonly left: readonly Pick<Turn, 'machine' | 'how'>[];
  /** Why it paused or stopped. */
  readonly because?: string;
  /** What the last look found worth a warning. */
  readonly findings: readonly Finding[];
}
export interface WaveResult {
  readonly name: string;
  readonly kubernetes: string;
  readonly machines: readonly string[];
  /** What was changed besides machines: `kube.addon/coredns`. */
  readonly changes: readonly string[];
  readonly seconds: number;
}
