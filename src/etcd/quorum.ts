/**
 * Quorum arithmetic (raft, etcd's "failure tolerance"): before a member is touched, the state after the act is simulated.
 * Pure. A learner has no vote and counts as unhealthy until it is a voter.
 */
export interface Member {
  readonly id: string;
  readonly name: string;
  readonly learner: boolean;
  /** It answers for itself, knows a leader and reports no error. */
  readonly healthy: boolean;
}

export type Act =
  | { readonly kind: 'remove'; readonly id: string }
  | { readonly kind: 'add'; readonly id: string; readonly name: string }
  | { readonly kind: 'promote'; readonly id: string }
  | { readonly kind: 'restart'; readonly id: string };

export type Verdict = { readonly ok: true } | { readonly ok: false; readonly why: string };

export const quorumOf = (voters: number): number => Math.floor(voters / 2) + 1;
export const votersOf = (members: readonly Member[]): readonly Member[] => members.filter((member) => !member.learner);
export const healthyVoters = (members: readonly Member[]): number => votersOf(members).filter((member) => member.healthy).length;

/** True while the members can commit anything at all. */
export const hasQuorum = (members: readonly Member[]): boolean => {
  const voters = votersOf(members);
  return voters.length > 0 && healthyVoters(members) >= quorumOf(voters.length);
};

/** How many more voters may fail before nothing can be written; negative: how many are missing already. */
export const tolerance = (members: readonly Member[]): number => healthyVoters(members) - quorumOf(votersOf(members).length);

/** The members as they are in the worst moment after the act. */
export function simulate(members: readonly Member[], act: Act): readonly Member[] {
  switch (act.kind) {
    case 'remove':
      return members.filter((member) => member.id !== act.id);
    case 'add':
      return [...members, { id: act.id, name: act.name, learner: true, healthy: false }];
    case 'promote':
      return members.map((member) => (member.id === act.id ? { ...member, learner: false } : member));
    case 'restart':
      return members.map((member) => (member.id === act.id ? { ...member, healthy: false } : member));
  }
}

/** A voting member may go if quorum holds now (the removal must be committed) and among those who stay. */
export function canRemove(members: readonly Member[], id: string): Verdict {
  if (!members.some((member) => member.id === id)) return no(`no member has the ID ${id}`);
  return allowed(members, { kind: 'remove', id });
}

/** One learner at a time: etcd's own limit (max-learners 1), and the next vote must not hang on two newcomers. */
export function canAdd(members: readonly Member[], name: string): Verdict {
  const learner = members.find((member) => member.learner);
  if (learner) return no(`${learner.name || learner.id} is still a learner`);
  if (members.some((member) => member.name === name)) return no(`a member named ${name} is there already`);
  return allowed(members, { kind: 'add', id: 'new', name });
}

/** A learner becomes a voter only if quorum holds with it among the voters, in the state in which it is. */
export function canPromote(members: readonly Member[], id: string): Verdict {
  if (!members.some((member) => member.id === id && member.learner)) return no(`no learner has the ID ${id}`);
  return allowed(members, { kind: 'promote', id });
}

/** A restart takes one member away for a while. */
export function canRestart(members: readonly Member[], id: string): Verdict {
  if (!members.some((member) => member.id === id)) return no(`no member has the ID ${id}`);
  return allowed(members, { kind: 'restart', id });
}

function allowed(members: readonly Member[], act: Act): Verdict {
  if (!hasQuorum(members)) return no(`quorum is lost: ${counts(members)}`);
  const after = simulate(members, act);
  return hasQuorum(after) ? { ok: true } : no(`quorum would be lost: ${counts(after)} after it`);
}
const no = (why: string): Verdict => ({ ok: false, why });

/** "2 of 3 voters healthy, 2 needed" */
export const counts = (members: readonly Member[]): string => {
  const voters = votersOf(members).length;
  return `${healthyVoters(members)} of ${voters} voters healthy, ${quorumOf(voters)} needed`;
};
