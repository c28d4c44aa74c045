import { DescribeImagesCommand } from '@aws-sdk/client-ec2';
import { exitCodes, UserError } from '../../src/errors.ts';
import { fields } from '../../src/plan/fields.ts';
import type { Address, Context, Observation, Resolved, ResourceType } from '../../src/plan/resource.ts';
import type { AwsClients } from './clients.ts';
import { known, remember } from './known.ts';

export interface ImageProps {
  readonly owner: string;
  /** In which * stands for anything. */
  readonly name: string;
}
export interface ImageOutputs {
  readonly id: string;
  /** Of the root volume. */
  readonly device: string;
}

export const imageAddress: Address = 'aws.image/machine';

/**
 * The machine image: the newest that fits, found once and kept in the store, so that a machine made anew next month is like the others. Not
 * ours: deleting it forgets it.
 */
export const image: ResourceType<ImageProps, ImageOutputs, AwsClients> = {
  name: 'aws.image',
  async observe(world) {
    const found = new Map<Address, Observation<ImageProps, ImageOutputs>>();
    const { image: record } = await world.read(known);
    if (record) {
      const { owner, name, id, device } = record;
      found.set(imageAddress, { state: 'present', props: { owner, name }, outputs: { id, device } });
    }
    return found;
  },
  diff: fields<ImageProps>({ owner: 'replace', name: 'replace' }),
  create: choose,
  update: (props, _outputs, ctx) => choose(props, ctx),
  delete: (_outputs, { clients }) => remember(clients, { image: undefined }),
};

async function choose(props: Resolved<ImageProps>, { clients, address }: Context<AwsClients>): Promise<ImageOutputs> {
  const { ec2, region } = clients;
  const { Images = [] } = await ec2.send(
    new DescribeImagesCommand({
      Owners: [props.owner],
      Filters: [
        { Name: 'name', Values: [props.name] },
        { Name: 'state', Values: ['available'] },
      ],
    }),
  );
  const [newest] = Images.toSorted((a, b) => ((a.CreationDate ?? '') < (b.CreationDate ?? '') ? 1 : -1));
  const { ImageId: id, RootDeviceName: device = '/dev/xvda' } = newest ?? {};
  if (id === undefined)
    throw new UserError(
      {
        what: `no machine image of owner ${props.owner} in ${region} is called ${props.name}`,
        where: `${address} (provider.aws.image)`,
        next: 'correct owner and name in cluster.yaml',
      },
      exitCodes.config,
    );
  await remember(clients, { image: { ...props, id, device } });
  return { id, device };
}
