import { defineConfig } from 'vitest/config';

// The broker's start and the faults take seconds: bounds are generous, because machines are noisy.
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/broker-setup.ts'],
    testTimeout: 240_000,
    hookTimeout: 300_000,
    maxWorkers: 2,
    pool: 'forks',
  },
});
