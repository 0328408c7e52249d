// `npm run rehearse`: the whole life of a deployment on one machine, with what is deployed instead of the sources
// (rehearsal/rehearsal.ts). Prints a table of steps, or JSON with `--json`; exit code 0 only if every step held and no
// event was lost. What this machine has no tools for is left out, and said.
import { parseArgs } from 'node:util';
import { type Architecture, OWN } from './rehearsal/engine.ts';
import type { BasesFrom } from './rehearsal/images.ts';
import { rehearse } from './rehearsal/rehearsal.ts';
import { Recorder, table } from './rehearsal/report.ts';

const HELP = `Usage: npm run rehearse -- [options]

  --json             one JSON object instead of the table
  --only image       synthesize and build the image, and no more
  --bases FROM       pinned: as service/Dockerfile names them; assembled: of Debian's packages;
                     either: assembled where the pinned ones cannot be pulled (default)
  --arch NAME        amd64 or arm64, for the image; default: this machine's. Another one is built and not run
  --help`;

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    only: { type: 'string' },
    bases: { type: 'string', default: 'either' },
    arch: { type: 'string', default: OWN },
    help: { type: 'boolean', default: false },
  },
});

function oneOf<T extends string>(option: string, value: string, of: readonly T[]): T {
  const found = of.find((each) => each === value);
  if (found !== undefined) return found;
  console.error(`--${option}: expected ${of.join(' or ')}, got '${value}'`);
  process.exit(1);
}

if (values.help) console.log(HELP);
else {
  const options = {
    architecture: oneOf<Architecture>('arch', values.arch, ['amd64', 'arm64']),
    bases: oneOf<BasesFrom>('bases', values.bases, ['either', 'pinned', 'assembled']),
    onlyImage: values.only !== undefined && oneOf('only', values.only, ['image']) === 'image',
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
  const recorder = new Recorder((line) => console.error(line));
  // What fails outside of a step fails the rehearsal as well.
  const failure = await rehearse(recorder, options).then(
    () => undefined,
    (error: Error) => error,
  );
  if (failure && recorder.steps.every(({ result }) => result !== 'failed'))
    await recorder.step('rehearsal', () => Promise.reject(failure)).catch(() => undefined);
  const report = recorder.report();
  console.log(values.json ? JSON.stringify(report, null, 2) : `\n${table(report).join('\n')}`);
  process.exitCode = report.held ? 0 : 1;
}
