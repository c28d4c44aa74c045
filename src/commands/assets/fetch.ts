import { Flags } from '@oclif/core';
import { mirrorFlag, selectAssets, selectionFlags } from '../../cli/asset-selection.ts';
import { outputFlag, SlipwayCommand } from '../../cli/command.ts';
import { type AssetListing, assetsView, listingOf } from '../../ui/assets-view.ts';

export default class AssetsFetch extends SlipwayCommand<typeof AssetsFetch> {
  static override summary = 'Bring programs and images into the cache: from a mirror, from upstream, or built from source';
  static override description =
    'Everything is checked against its checksum. A download that was cut goes on where it ended. `up` does this by itself.';
  static override examples = [
    '<%= config.bin %> assets fetch',
    '<%= config.bin %> assets fetch kubelet kubectl --kubernetes 1.36.3',
    '<%= config.bin %> assets fetch --mirror https://mirror.example.com/slipway',
  ];
  static override strict = false;
  static override usage = 'assets fetch [ASSET...]';
  static override flags = {
    output: outputFlag('human', 'json'),
    ...selectionFlags,
    mirror: mirrorFlag,
    verify: Flags.boolean({ summary: 'Read all bytes of what the cache has, and fetch again what differs from its checksum' }),
  };

  async run(): Promise<AssetListing> {
    const { emit, stop } = await this.live();
    const { assets, wanted } = await selectAssets(this.opening(), emit, this.flags, this.rest());
    const found = await assets.ensure(wanted, this.signal, { verify: this.flags.verify });
    stop();
    return this.show(assetsView, listingOf(assets.directory, wanted, found));
  }
}
