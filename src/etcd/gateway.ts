import { z } from 'zod';
import { parseJson } from '../plan/canonical.ts';
import type { Member } from './quorum.ts';

/** Answers of etcd's grpc-gateway (`/v3/...` as JSON): uint64 come as decimal strings, and zero values are left out. */
const uint64 = z.union([z.string().regex(/^\d+$/), z.number().int().transform(String)]);
const number64 = uint64.transform(Number);

const memberSchema = z.object({
  ID: uint64,
  /** Empty until the member has started once. */
  name: z.string().default(''),
  peerURLs: z.array(z.string()).default([]),
  clientURLs: z.array(z.string()).default([]),
  isLearner: z.boolean().default(false),
});
export type ListedMember = z.output<typeof memberSchema>;

const membersSchema = z.object({ members: z.array(memberSchema) });
const statusSchema = z.object({
  header: z.object({ member_id: uint64, cluster_id: uint64.default('0'), revision: number64.default(0) }),
  version: z.string(),
  dbSize: number64.default(0),
  dbSizeInUse: number64.default(0),
  /** ID of the leader; 0: it knows none. */
  leader: uint64.default('0'),
  raftAppliedIndex: number64.default(0),
  raftIndex: number64.default(0),
  isLearner: z.boolean().default(false),
  errors: z.array(z.string()).default([]),
});
export type MemberStatus = z.output<typeof statusSchema>;
const alarmNames = ['NONE', 'NOSPACE', 'CORRUPT'] as const;
const alarmsSchema = z.object({
  alarms: z
    .array(
      z.object({
        memberID: uint64.default('0'),
        alarm: z.union([z.string(), z.int().transform((index) => alarmNames[index] ?? String(index))]).default('NONE'),
      }),
    )
    .default([]),
});
const errorSchema = z.object({ error: z.string().optional(), message: z.string().optional() });

/** What one member says of its cluster and itself. */
export interface MemberView {
  /** Empty: it could not say (a linearised list needs quorum). */
  readonly members: readonly ListedMember[];
  readonly status: MemberStatus;
  readonly alarms: readonly { readonly memberId: string; readonly alarm: string }[];
}

/** Reads `{members, status, alarms}` as a probe prints it. Undefined: the member gave no answer. `members` and `alarms` need quorum and may be null. */
export function parseView(text: string): MemberView | undefined {
  const answer = parseJson(text);
  if (typeof answer !== 'object' || answer === null) return undefined;
  const { members, status, alarms }: { members?: unknown; status?: unknown; alarms?: unknown } = answer;
  const list = membersSchema.safeParse(Array.isArray(members) ? { members } : members);
  const own = statusSchema.safeParse(status);
  if (!own.success) return undefined;
  const raised = alarmsSchema.safeParse(Array.isArray(alarms) ? { alarms } : alarms);
  return {
    members: list.success ? list.data.members : [],
    status: own.data,
    alarms: raised.success ? raised.data.alarms.map(({ memberID, alarm }) => ({ memberId: memberID, alarm })) : [],
  };
}

/** The text of a gateway's error, or undefined if the answer is none. */
export function gatewayError(text: string): string | undefined {
  const parsed = errorSchema.safeParse(parseJson(text));
  return parsed.success ? (parsed.data.message ?? parsed.data.error) : undefined;
}

/** A member is healthy when it answers, knows a leader and reports no error. */
export const isHealthy = (view: MemberView | undefined): view is MemberView =>
  view !== undefined && view.status.leader !== '0' && view.status.errors.length === 0;

/** The list to believe: of those who know a leader, the one that has applied most. Undefined: nobody knows a leader. */
export function bestView(views: Iterable<MemberView | undefined>): MemberView | undefined {
  let best: MemberView | undefined;
  for (const view of views) if (isLed(view) && view.status.raftAppliedIndex >= (best?.status.raftAppliedIndex ?? 0)) best = view;
  return best;
}
const isLed = (view: MemberView | undefined): view is MemberView =>
  view !== undefined && view.status.leader !== '0' && view.members.length > 0;

/** The members for quorum arithmetic: listed by the best view, healthy by their own word. */
export function quorumMembers(best: MemberView, views: Iterable<MemberView | undefined>): readonly Member[] {
  const healthy = new Set([...views].filter(isHealthy).map((view) => view.status.header.member_id));
  return best.members.map(({ ID, name, isLearner }) => ({ id: ID, name, learner: isLearner, healthy: healthy.has(ID) }));
}
