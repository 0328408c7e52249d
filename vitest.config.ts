import { defineConfig } from 'vitest/config';

// Files that end in `.broker.test.ts` need a RabbitMQ, which is started for their project alone.
// Its start and the faults take seconds: bounds are generous, because machines are noisy.
export default defineConfig({
  test: {
    testTimeout: 240_000,
    hookTimeout: 300_000,
    maxWorkers: 2,
    pool: 'forks',
    projects: [
      {
        extends: true,
        test: { name: 'unit', include: ['test/**/*.test.ts'], exclude: ['test/**/*.broker.test.ts'] },
      },
      {
        extends: true,
        test: {
          name: 'broker',
          include: ['test/**/*.broker.test.ts'],
          globalSetup: ['test/support/broker-setup.ts'],
        },
      },
    ],
  },
});
