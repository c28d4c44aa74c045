import type { IpPermission, SecurityGroup } from '@aws-sdk/client-ec2';

/** One rule of a security group. AWS groups several under one protocol and ports; here each stands alone. */
export interface Rule {
  /** `tcp 2379 from master`, `all to 0.0.0.0/0` */
  readonly text: string;
  /** Its description. */
  readonly why: string;
  /** As AWS takes it, to revoke it. */
  readonly permission: IpPermission;
  /** A Kubernetes controller's: the cloud controller opens nodes to its load balancers. */
  readonly foreign: boolean;
}

/** Descriptions that controllers give rules without a group of their own: cloud-provider-aws (NLB), aws-load-balancer-controller. */
const controllersWords = /^(kubernetes\.io\/rule\/nlb\/|elbv2\.k8s\.aws\/)/;

/** `names`: how groups are shown, by ID. `controllers`: IDs of groups that Kubernetes' controllers made. */
export function rulesOf(
  group: SecurityGroup,
  names: ReadonlyMap<string, string>,
  controllers: ReadonlySet<string>,
): { readonly ingress: readonly Rule[]; readonly egress: readonly Rule[] } {
  const side = (permissions: readonly IpPermission[] = [], direction: 'from' | 'to') =>
    permissions.flatMap((permission): Rule[] => {
      const { IpProtocol, FromPort, ToPort } = permission;
      const head = { IpProtocol, FromPort, ToPort };
      const rule = (peer: string, description: string | undefined, part: IpPermission, foreign = false): Rule => ({
        text: `${protocolText(permission)} ${direction} ${peer}`,
        why: description ?? '',
        permission: { ...head, ...part },
        foreign: foreign || controllersWords.test(description ?? ''),
      });
      return [
        ...(permission.IpRanges ?? []).map((range) => rule(range.CidrIp ?? '', range.Description, { IpRanges: [range] })),
        ...(permission.Ipv6Ranges ?? []).map((range) => rule(range.CidrIpv6 ?? '', range.Description, { Ipv6Ranges: [range] })),
        ...(permission.PrefixListIds ?? []).map((list) =>
          rule(list.PrefixListId ?? '', list.Description, { PrefixListIds: [list] }),
        ),
        ...(permission.UserIdGroupPairs ?? []).map((pair) => {
          const { GroupId = '', UserId, Description } = pair;
          return rule(
            names.get(GroupId) ?? GroupId,
            Description,
            { UserIdGroupPairs: [{ GroupId, UserId, Description }] },
            controllers.has(GroupId),
          );
        }),
      ];
    });
  return { ingress: side(group.IpPermissions, 'from'), egress: side(group.IpPermissionsEgress, 'to') };
}

function protocolText({ IpProtocol = '-1', FromPort, ToPort }: IpPermission): string {
  if (IpProtocol === '-1') return 'all';
  if (FromPort === undefined || FromPort === -1) return IpProtocol;
  return `${IpProtocol} ${FromPort === ToPort ? FromPort : `${FromPort}-${ToPort}`}`;
}

const shape = /^(?<protocol>tcp|udp|all)(?: (?<first>\d+)(?:-(?<last>\d+))?)? (?:from|to) (?<peer>\S+)$/;
/** The permission that such a text of ours means. */
export function permissionOf(text: string, why: string, groups: Readonly<Record<string, string>>): IpPermission {
  const { protocol, first, last = first, peer = '' } = shape.exec(text)?.groups ?? {};
  if (protocol === undefined) throw new Error(`no rule of ours: ${text}`);
  const GroupId = groups[peer];
  // AWS takes no empty description.
  const described = why === '' ? {} : { Description: why };
  return {
    IpProtocol: protocol === 'all' ? '-1' : protocol,
    ...(first !== undefined && { FromPort: Number(first), ToPort: Number(last) }),
    ...(GroupId === undefined
      ? { IpRanges: [{ CidrIp: peer, ...described }] }
      : { UserIdGroupPairs: [{ GroupId, ...described }] }),
  };
}
