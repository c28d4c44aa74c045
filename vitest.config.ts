import { defineConfig } from 'vitest/config';

// `fast` needs no machine; `lab` runs real programs; `e2e` runs the built CLI against real machines: a cluster waits much of
// its time, so two files at once on two cores; `e2e-alone` has those that measure what others feel, or build.
const alone = ['upgrade', 'shrink', 'components', 'package'].map((name) => `test/e2e/${name}.test.ts`);

export default defineConfig({
  test: {
    projects: [
      { test: { name: 'fast', include: ['test/{unit,golden,contract}/**/*.test.ts'], testTimeout: 20_000 } },
      // The AWS provider against an emulated API (moto, see scripts/moto-setup) behind a proxy that adds what moto lacks.
      {
        test: {
          name: 'aws',
          include: ['test/aws/**/*.test.ts'],
          testTimeout: 120_000,
          hookTimeout: 60_000,
          maxWorkers: 2,
        },
      },
      // Real programs (etcd, kube-apiserver) as processes on loopback: they need the asset cache, and no machines.
      {
        test: {
          name: 'lab',
          include: ['test/lab/**/*.test.ts'],
          fileParallelism: false,
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
      {
        test: {
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          exclude: alone,
          maxWorkers: 2,
          testTimeout: 600_000,
          hookTimeout: 600_000,
        },
      },
      {
        test: {
          name: 'e2e-alone',
          include: alone,
          fileParallelism: false,
          testTimeout: 600_000,
          hookTimeout: 600_000,
        },
      },
    ],
  },
});
