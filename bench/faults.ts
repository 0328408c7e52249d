// `npm run faults`: every fault of test/faults on the real broker, each in its full length, and then the table of what
// was sent, read, lost and repeated. `-- --json` prints the table as JSON, `-- NAME …` runs only files that match,
// `-- --vitest FILE` writes vitest's own report, `FAULTS_SEED=n` takes another seed.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values, positionals } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    vitest: { type: 'string' },
  },
  allowPositionals: true,
});
const folder = await mkdtemp(join(tmpdir(), 'faults-'));
const report = join(folder, 'report.jsonl');
const vitest = fileURLToPath(new URL('../node_modules/vitest/vitest.mjs', import.meta.url));
const reporters = values.vitest ? ['--reporter=default', '--reporter=json', `--outputFile.json=${values.vitest}`] : [];
// Promises have seconds: no more stages side by side than two processors carry.
const options = ['--project', 'faults', '--maxWorkers', '3', ...reporters];
const child = spawn(process.execPath, [vitest, 'run', ...options, ...positionals], {
  env: { ...process.env, FAULTS_REPORT: report, FULL: '1' },
  // With --json, standard output is the JSON's alone.
  stdio: ['ignore', values.json ? 2 : 1, 2],
});
const [code] = (await once(child, 'close')) as [number | null];

interface Line {
  readonly fault: string;
  readonly seed: number;
  readonly due: number;
  readonly read: number;
  readonly lost: number;
  readonly announced: number;
  readonly repeated: number;
  readonly disorders: number;
  readonly gaps: number;
  readonly gapMs: number;
  /** Of a cluster's nodes: the silence of a publisher that is not ours. */
  readonly measured?: { readonly probeMs?: number };
}
const text = await readFile(report, 'utf8').catch(() => '');
const lines = text
  .split('\n')
  .filter((line) => line !== '')
  .map((line) => JSON.parse(line) as Line);
await rm(folder, { recursive: true, force: true });
const seconds = (ms?: number) => (ms === undefined ? '' : `${(ms / 1_000).toFixed(1)} s`);
if (values.json) process.stdout.write(`${JSON.stringify(lines, null, 2)}\n`);
else {
  const columns = ['sent', 'read', 'lost', 'repeated', 'order', 'gaps', 'silence', 'probe', 'seed'];
  process.stdout.write(`\n${'fault'.padEnd(104)}${columns.map((name) => name.padStart(10)).join('')}\n`);
  for (const line of lines) {
    const cells = [
      line.due + line.announced,
      line.read,
      line.lost,
      line.repeated,
      line.disorders === 0 ? 'kept' : `${line.disorders} off`,
      line.gaps === 0 ? 'none' : line.gaps,
      seconds(line.gapMs),
      seconds(line.measured?.probeMs),
      line.seed,
    ];
    process.stdout.write(
      `${line.fault.slice(0, 102).padEnd(104)}${cells.map((cell) => String(cell).padStart(10)).join('')}\n`,
    );
  }
}
process.exitCode = code ?? 1;
