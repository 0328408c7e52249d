import { existsSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/**
 * Files that wait longest, the longest first: begun last, each would be waited for alone. By their durations Vitest sorts
 * only where it has run before.
 */
const WAIT_LONGEST = [
  'faults/cluster/',
  'gateway/hostile',
  'status/page',
  '.fault.',
  'commands/commands',
  'lib/deploy',
  'lib/validation',
  '.program.',
  '.broker.',
];

/** What tests and brokers write is soon deleted: in memory, where there is room, no disk is waited for. */
const MEMORY = '/dev/shm';
if (existsSync(MEMORY)) {
  const { bavail, bsize } = statfsSync(MEMORY);
  if (Math.min(bavail * bsize, process.availableMemory()) > 8 * 1024 ** 3) process.env.TMPDIR = MEMORY;
}

/** What mostly waits is begun first. The unit tests come last: they need the processors, and share processes. */
class WaitingFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification) =>
      [...WAIT_LONGEST, ''].findIndex((part) => moduleId.includes(part));
    return (await super.sort(files)).toSorted((a, b) => place(a) - place(b));
  }
}

/** Programs too, and every fault in its full length. */
const full = process.env.FULL === '1';

// unit      nothing but Node. Its files share a process, which loads the CDK and synthesizes the stacks once.
// broker    `.broker.test.ts`: needs a RabbitMQ, which is started once and shared. Files share processes too.
// programs  `.program.test.ts`: what people run, whole: the commands of bin/, the demo, the examples, the page in a browser.
// faults    `.fault.test.ts`: each file starts its own RabbitMQ, and breaks it. Without FULL=1 one fault of each class.
export default defineConfig({
  test: {
    // Brokers and tasks take seconds to start, and machines are noisy.
    testTimeout: 240_000,
    hookTimeout: 300_000,
    maxWorkers: 5,
    pool: 'forks',
    sequence: { sequencer: WaitingFirst },
    // For the programs that tests start: local/program-environment.ts.
    env: { NODE_COMPILE_CACHE: join(import.meta.dirname, 'node_modules/.cache/node') },
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: ['test/**/*.{broker,program,fault}.test.ts'],
          globalSetup: ['test/support/temporary-folder.ts'],
          setupFiles: ['test/support/low-priority.ts'],
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
          isolate: false,
        },
      },
      {
        extends: true,
        test: {
          name: 'programs',
          include: full ? ['test/**/*.program.test.ts'] : [],
          globalSetup: ['test/support/broker-setup.ts'],
          isolate: false,
        },
      },
      {
        extends: true,
        test: {
          name: 'faults',
          include: [full ? 'test/**/*.fault.test.ts' : 'test/faults/*.fault.test.ts'],
        },
      },
    ],
  },
});
