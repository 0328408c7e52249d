import { defineConfig } from 'vitest/config';

// unit    nothing but Node. Its files share a process, which loads the CDK and synthesizes the stacks once.
// broker  `.broker.test.ts`: needs a RabbitMQ, which is started once and shared.
// faults  `.fault.test.ts`: each file starts its own RabbitMQ, and breaks it.
export default defineConfig({
  test: {
    // Brokers and tasks take seconds to start, and machines are noisy.
    testTimeout: 240_000,
    hookTimeout: 300_000,
    maxWorkers: 2,
    pool: 'forks',
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: ['test/**/*.{broker,fault}.test.ts'],
          globalSetup: ['test/support/temporary-folder.ts'],
          isolate: false,
          unstubEnvs: true,
        },
      },
      {
        extends: true,
        test: {
          name: 'broker',
          include: ['test/**/*.broker.test.ts'],
          globalSetup: ['test/support/broker-setup.ts'],
        },
      },
      { extends: true, test: { name: 'faults', include: ['test/**/*.fault.test.ts'] } },
    ],
  },
});
