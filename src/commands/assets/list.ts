import { Flags } from '@oclif/core';
import { selectAssets, selectionFlags } from '../../cli/asset-selection.ts';
import { outputFlag, SlipwayCommand } from '../../cli/command.ts';
import { type AssetListing, assetsView, listingOf } from '../../ui/assets-view.ts';

export default class AssetsList extends SlipwayCommand<typeof AssetsList> {
  static override summary = 'List the programs and images that a cluster needs, and which of them the cache has';
  static override examples = [
    '<%= config.bin %> assets list',
    '<%= config.bin %> assets list --kubernetes 1.36.3 --verify -o json',
  ];
  static override strict = false;
  static override usage = 'assets list [ASSET...]';
  static override flags = {
    output: outputFlag('human', 'json'),
    ...selectionFlags,
    verify: Flags.boolean({ summary: 'Read all bytes: what differs from its checksum counts as missing' }),
  };

  async run(): Promise<AssetListing> {
    const { assets, wanted } = await selectAssets(this.opening(), () => {}, this.flags, this.rest());
    const found = await assets.list(wanted, { verify: this.flags.verify, signal: this.signal });
    const cached = new Map(found.flatMap((each) => (each.cached ? [[each.asset.path, each.cached]] : [])));
    return this.show(assetsView, listingOf(assets.directory, wanted, cached));
  }
}
