// `npm run rehearse`: a deployment from creation to tear-down on one machine, with its artifacts instead of the sources
// (rehearsal/rehearsal.ts). Prints a table of steps, or JSON with `--json`; exit code 0 only if every step held and no
// event was lost. What this machine has no tools for is skipped, with the reason.
import { parseArgs } from 'node:util';
import { OWN } from './rehearsal/engine.ts';
import { rehearse } from './rehearsal/rehearsal.ts';
import { Recorder, table } from './rehearsal/report.ts';

const HELP = `Usage: npm run rehearse -- [options]

  --json             one JSON object instead of the table
  --only image       synthesize and build the image, and no more
  --arch NAME        amd64 or arm64, for the image; default: this machine's. Another one is built and not run
  --help`;

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    only: { type: 'string' },
    arch: { type: 'string', default: OWN },
    help: { type: 'boolean', default: false },
  },
});
const { arch: architecture, only } = values;

if (values.help) console.log(HELP);
else if ((architecture !== 'amd64' && architecture !== 'arm64') || (only !== undefined && only !== 'image')) {
  console.error(HELP);
  process.exitCode = 1;
} else {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
  const recorder = new Recorder((line) => console.error(line));
  try {
    await rehearse(recorder, { architecture, onlyImage: only === 'image' });
  } catch (error) {
    // What fails outside of a step fails the rehearsal as well.
    if (recorder.steps.every(({ result }) => result !== 'failed'))
      await recorder.step('rehearsal', () => Promise.reject(error)).catch(() => undefined);
  }
  const report = recorder.report();
  console.log(values.json ? JSON.stringify(report, null, 2) : `\n${table(report).join('\n')}`);
  process.exitCode = report.held ? 0 : 1;
}
