import { join } from 'node:path';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** A fault mostly waits, longest for a node of a cluster; the unit tests beside it need the processors. */
class FaultsFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const waits = ({ project, moduleId }: TestSpecification) =>
      Number(project.name === 'faults') + Number(moduleId.includes('/faults/cluster/'));
    return (await super.sort(files)).toSorted((a, b) => waits(b) - waits(a));
  }
}

// unit    nothing but Node. Its files share a process, which loads the CDK and synthesizes the stacks once.
// broker  `.broker.test.ts`: needs a RabbitMQ, which is started once and shared.
// faults  `.fault.test.ts`: each file starts its own RabbitMQ, and breaks it.
export default defineConfig({
  test: {
    // Brokers and tasks take seconds to start, and machines are noisy.
    testTimeout: 240_000,
    hookTimeout: 300_000,
    maxWorkers: 3,
    pool: 'forks',
    sequence: { sequencer: FaultsFirst },
    // For the programs that tests start: local/program-environment.ts.
    env: { NODE_COMPILE_CACHE: join(import.meta.dirname, 'node_modules/.cache/node') },
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
