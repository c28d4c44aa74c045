import { Args } from '@oclif/core';
import { mirrorFlag, selectAssets, selectionFlags } from '../../cli/asset-selection.ts';
import { outputFlag, SlipwayCommand } from '../../cli/command.ts';
import { type AssetListing, assetsView, listingOf } from '../../ui/assets-view.ts';

export default class AssetsMirror extends SlipwayCommand<typeof AssetsMirror> {
  static override summary = 'Write programs and images to a directory that machines without internet access can use as a mirror';
  static override description =
    'The directory gets a SHA256SUMS. Use it as `assets.mirror` in cluster.yaml, as a directory or served by any web server.';
  static override examples = [
    '<%= config.bin %> assets mirror /srv/slipway',
    '<%= config.bin %> assets mirror /srv/slipway --kubernetes 1.35.4 --kubernetes 1.36.3',
  ];
  static override strict = false;
  static override usage = 'assets mirror DIRECTORY [ASSET...]';
  static override args = { directory: Args.string({ description: 'Where to; what is there already is kept', required: true }) };
  static override flags = { output: outputFlag('human', 'json'), ...selectionFlags, mirror: mirrorFlag };

  async run(): Promise<AssetListing> {
    const { emit, stop } = await this.live();
    const { assets, wanted } = await selectAssets(this.opening(), emit, this.flags, this.rest());
    const found = await assets.mirror(this.args.directory, wanted, this.signal);
    stop();
    return this.show(assetsView, listingOf(this.args.directory, wanted, found));
  }
}
