import { selectAssets, selectionFlags } from '../../cli/asset-selection.ts';
import { outputFlag, SlipwayCommand } from '../../cli/command.ts';
import { type AssetListing, assetsView, listingOf } from '../../ui/assets-view.ts';

export default class AssetsBuild extends SlipwayCommand<typeof AssetsBuild> {
  static override summary = 'Build programs and images from source into the cache, also those that it has';
  static override description =
    'Out of Go modules whose checksums are part of Slipway. Needs Go; for runc also a C compiler and libseccomp. All of Kubernetes takes minutes.';
  static override examples = [
    '<%= config.bin %> assets build',
    '<%= config.bin %> assets build etcd etcdctl --kubernetes 1.36.3',
  ];
  static override strict = false;
  static override usage = 'assets build [ASSET...]';
  static override flags = { output: outputFlag('human', 'json'), ...selectionFlags };

  async run(): Promise<AssetListing> {
    const { emit, stop } = await this.live();
    const { assets, wanted } = await selectAssets(this.opening(), emit, this.flags, this.rest());
    const found = await assets.build(wanted, this.signal);
    stop();
    return this.show(assetsView, listingOf(assets.directory, wanted, found));
  }
}
