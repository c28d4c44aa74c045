import {
  AddTagsCommand,
  CreateListenerCommand,
  DeleteListenerCommand,
  type Listener,
  ModifyListenerCommand,
} from '@aws-sdk/client-elastic-load-balancing-v2';
import { UserError } from '../../src/errors.ts';
import { fields } from '../../src/plan/fields.ts';
import { type Address, addressOf, nameOf, type Observation, type Ref, type ResourceType } from '../../src/plan/resource.ts';
import type { AwsClients } from './clients.ts';
import { shown } from './ec2.ts';
import { edge, listenersOf } from './edge.ts';
import { codeOf, unlessNotFound } from './errors.ts';
import { type Tags, tagList, withTags } from './tags.ts';

export interface ListenerProps {
  readonly balancer: Ref<string>;
  readonly port: number;
  readonly targetGroup: Ref<string>;
  /** Whose it is is read from the balancer's. */
  readonly tags: Tags;
}
export interface ListenerOutputs {
  readonly arn: string;
}

/** The port of a balancer, which is ours because the balancer is. Same name as its balancer. */
export const listener: ResourceType<ListenerProps, ListenerOutputs, AwsClients> = {
  name: 'aws.listener',
  dependsOn: ['aws.balancer', 'aws.target-group'],
  shrink: 'now',
  async observe(world) {
    const found = new Map<Address, Observation<ListenerProps, ListenerOutputs>>();
    const { balancers } = await world.read(edge);
    for (const { arn, address, listener: there } of balancers)
      if (there) found.set(addressOf(listener.name, nameOf(address)), observation(there.thing, there.tags, arn));
    return found;
  },
  diff: withTags(fields<ListenerProps>({ balancer: 'ignore', port: 'none', targetGroup: 'none', tags: 'ignore' })),
  async create(props, ctx) {
    const { elb } = ctx.clients;
    try {
      const { Listeners: [made] = [] } = await elb.send(
        new CreateListenerCommand({
          LoadBalancerArn: props.balancer,
          Protocol: 'TCP',
          Port: props.port,
          DefaultActions: [{ Type: 'forward', TargetGroupArn: props.targetGroup }],
          Tags: tagList(props.tags),
        }),
      );
      return { arn: made?.ListenerArn ?? '' };
    } catch (error) {
      // A repeated call: the balancer is ours, so the listener is.
      if (codeOf(error) !== 'DuplicateListener') throw error;
      const there = await shown(ctx, async () => (await listenersOf(ctx.clients, props.balancer))[0]);
      if (!there)
        throw new UserError({
          what: 'its port is taken, and no listener is seen',
          where: ctx.address,
          next: 'run the same command again',
        });
      return { arn: there.ListenerArn ?? '' };
    }
  },
  async update(props, outputs, ctx) {
    await ctx.clients.elb.send(
      new ModifyListenerCommand({
        ListenerArn: outputs.arn,
        Port: props.port,
        DefaultActions: [{ Type: 'forward', TargetGroupArn: props.targetGroup }],
      }),
    );
    await ctx.clients.elb.send(new AddTagsCommand({ ResourceArns: [outputs.arn], Tags: tagList(props.tags) }));
    return outputs;
  },
  async delete({ arn }, ctx) {
    await ctx.clients.elb.send(new DeleteListenerCommand({ ListenerArn: arn })).catch(unlessNotFound);
  },
};

const observation = (of: Listener, tags: Tags, balancer: string): Observation<ListenerProps, ListenerOutputs> => ({
  state: 'present',
  props: { balancer, port: of.Port ?? 0, targetGroup: of.DefaultActions?.[0]?.TargetGroupArn ?? '', tags },
  outputs: { arn: of.ListenerArn ?? '' },
});
