import { defineConfig } from 'vitest/config';

// `fast` needs no machine; `lab` runs real programs; `e2e` runs the built CLI against real machines, two files at
// a time: each has clusters, names and networks of its own, and waits for drains, leases and time limits a third of its time.
/** What is waited for comes soon, or on a busy machine much later: one second, the default, is no time there. */
const expecting = { poll: { timeout: 20_000 } };

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'fast',
          expect: expecting,
          include: ['test/{unit,golden,contract}/**/*.test.ts'],
          // A guard against what hangs: some compute for seconds, and a busy machine takes many times that.
          testTimeout: 180_000,
          globalSetup: 'test/support/temporary.ts',
        },
      },
      // The AWS provider against an emulated API (moto, see scripts/moto-setup) behind a proxy that adds what moto lacks.
      {
        test: {
          name: 'aws',
          expect: expecting,
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
          expect: expecting,
          include: ['test/lab/**/*.test.ts'],
          fileParallelism: false,
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
      {
        test: {
          name: 'e2e',
          expect: expecting,
          include: ['test/e2e/**/*.test.ts'],
          maxWorkers: 2,
          testTimeout: 600_000,
          hookTimeout: 600_000,
        },
      },
    ],
  },
});
