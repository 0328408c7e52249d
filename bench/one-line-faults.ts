// How many random faults of one line do the tests find? A clone of HEAD gets one fault at a time; then the tests that
// import its file run, and those that start its process. A fault that tsc or biome refuses is not counted. The test that
// fails must fail again with the fault, alone or with its file, and pass without it: a slow machine fails tests, too.
//   npm run one-line-faults -- --seed 1 --count 84 [--only service/gateway] [--out FILE] [--no-baseline]
// The same seed and commit give the same faults. `--out FILE` keeps the results and continues where an earlier run ended.

import { spawnSync } from 'node:child_process';
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { parseAst } from 'vitest/node';
import { Random } from '../local/discord/random.ts';

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    count: { type: 'string', default: '84' },
    only: { type: 'string', default: '' },
    out: { type: 'string' },
    baseline: { type: 'boolean', default: true },
  },
  allowNegative: true,
});

/** The text from `start` to `end` becomes one of `texts`. */
interface Change {
  readonly kind: string;
  readonly start: number;
  readonly end: number;
  readonly texts: readonly [string, ...string[]];
}
/** `foundBy` is `refused` for tsc and biome, and `undefined` for a fault that was not found. */
type Result = { draw: number; change: string; foundBy?: string };
/** A test that failed, and vitest's arguments to run it alone, and then with its whole file: it may need the tests before it. */
type Failure = { text: string; again: readonly (readonly string[])[] };
type Test = { status: string; ancestorTitles: string[]; title: string };
type Report = { name: string; assertionResults: Test[] }[];
// A node of ESTree, with its properties by name.
type Node = { type: string; start: number; end: number } & Record<string, unknown>;

const COMPARISONS: Record<string, [string, ...string[]]> = {
  ...{ '<': ['<=', '>='], '<=': ['<', '>'], '>': ['>=', '<='], '>=': ['>', '<'], '===': ['!=='], '!==': ['==='] },
};
const LOG_CALL = /(\blog|\.#log|\bconsole)\.\w+$/;
const ENDING = { timeout: 10 * 60_000, killSignal: 'SIGKILL' } as const;
const MOST_ATTEMPTS = 3;

function changesOf(source: string): Change[] {
  const changes: Change[] = [];
  const text = (node: unknown) => source.slice((node as Node).start, (node as Node).end);
  const add = (kind: string, { start, end }: Node, ...texts: string[]) => {
    const before = source.slice(start, end);
    // A thousand times 0 is no fault.
    const [first, ...more] = texts.filter((each) => each !== before);
    if (first !== undefined && !before.includes('\n')) changes.push({ kind, start, end, texts: [first, ...more] });
  };
  const visit = (node: Node): void => {
    const { type, operator, value, test, argument } = node;
    if (/^(Import|ExportAll|TSInterface|TSType)/.test(type) || (type === 'ExportNamedDeclaration' && node.source))
      return;
    const call = type === 'ExpressionStatement' ? (node.expression as Node) : node;
    if (call.type === 'CallExpression' && LOG_CALL.test(text(call.callee))) return;
    if (type === 'BinaryExpression' && typeof operator === 'string' && operator in COMPARISONS) {
      const [left, right] = [node.left as Node, node.right as Node];
      const start = source.indexOf(operator, left.end);
      if (start < right.start)
        add('comparison', { ...node, start, end: start + operator.length }, ...(COMPARISONS[operator] ?? ['']));
    }
    if (type === 'LogicalExpression' && operator !== '??') {
      const start = source.indexOf(String(operator), (node.left as Node).end);
      add('and, or', { ...node, start, end: start + 2 }, operator === '&&' ? '||' : '&&');
    }
    if (/^(If|While)Statement|ConditionalExpression/.test(type)) add('condition', test as Node, `!(${text(test)})`);
    if (type === 'Literal' && typeof value === 'number')
      add('number', node, ...([`${value * 1000}`, `${value / 1000}`, `${value + 1}`, `${value - 1}`] as const));
    if (type === 'Literal' && typeof value === 'boolean') add('boolean', node, `${!value}`);
    // A string with spaces is prose: for a log, an error, a description.
    if (type === 'Literal' && typeof value === 'string' && /^\S+$/.test(value))
      add('string', node, `'${value.slice(1)}x'`);
    if (/^(Expression|Throw|Continue|Break|If)Statement/.test(type) && !node.directive) add('drop', node, '');
    if (type === 'ReturnStatement' && argument) add('return', argument as Node, 'undefined');
    if (type === 'ArrowFunctionExpression' && node.expression) add('return', node.body as Node, 'undefined');
    if (type === 'AwaitExpression') add('await', node, text(argument));
    const [first, second] = (node.arguments ?? []) as Node[];
    // The larger of two numbers is the larger one in any order.
    if (first && second && !/^Math\.(max|min)$/.test(text(node.callee))) {
      const between = source.slice(first.end, second.start);
      add('swap', { ...node, start: first.start, end: second.end }, `${text(second)}${between}${text(first)}`);
    }
    for (const child of Object.values(node).flat()) if (child && typeof child === 'object') visit(child as Node);
  };
  visit(parseAst(source, { lang: 'ts' }) as unknown as Node);
  return changes;
}

const root = fileURLToPath(new URL('..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'one-line-faults-'));
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
const copy = join(folder, 'copy');
const run = (command: string, ...args: string[]) => spawnSync(command, args, { cwd: copy, encoding: 'utf8' });
spawnSync('git', ['clone', '--quiet', root, copy]);
if (spawnSync('cp', ['-al', join(root, 'node_modules'), copy]).status !== 0)
  spawnSync('cp', ['-a', join(root, 'node_modules'), copy]);

/** @returns the first test that failed, or `undefined` */
function failure(...args: readonly string[]): Failure | undefined {
  const report = join(folder, 'report.json');
  rmSync(report, { force: true });
  const reporting = ['--bail', '1', '--passWithNoTests', '--reporter=json', `--outputFile=${report}`];
  const vitest = ['node_modules/vitest/vitest.mjs', ...args, ...reporting];
  // Faults not in their full length.
  const FULL = /\bprograms?\b/.test(args.join(' ')) ? '1' : '0';
  const options = { cwd: copy, env: { ...process.env, FULL }, stdio: 'ignore', ...ENDING } as const;
  const { status, error } = spawnSync(process.execPath, vitest, options);
  if (error) return { text: `a deadline (${error.message})`, again: [] };
  if (status === 0) return;
  const testResults: Report = existsSync(report) ? JSON.parse(readFileSync(report, 'utf8')).testResults : [];
  for (const { name, assertionResults } of testResults) {
    const failed = assertionResults.find((test) => test.status === 'failed');
    if (failed === undefined) continue;
    const title = [...failed.ancestorTitles, failed.title].join(' > ');
    const file = name.slice(copy.length + 1);
    const alone = ['-t', `^${title.replace(/[^\w\s]/g, '\\$&')}$`];
    return {
      text: `${file}: ${title}`,
      again: [
        ['run', file, ...alone],
        ['run', file],
      ],
    };
  }
  return { text: 'a file that cannot be loaded', again: [args] };
}

function find(file: string): Failure | undefined {
  const unit = failure('related', '--run', '--project', 'unit', file);
  if (unit !== undefined) return unit;
  const whole = ['--project', 'broker', '--project', 'programs'];
  // Tests start the service as a process, and the commands of bin/: no import leads from them to its files.
  if (!file.startsWith('service/'))
    return failure('run', '--project', 'unit', ...whole, 'test/lib', 'test/bin', 'test/contracts');
  const related = ['related', '--run', file, 'local/ingestor-process.ts'];
  return failure(...related, ...whole) ?? failure(...related, '--project', 'faults');
}

/** @returns the test that fails by the fault, which is in the file */
function findByFault(file: string, { source, changed }: { source: string; changed: string }): string | undefined {
  for (let attempts = 0; attempts < MOST_ATTEMPTS; attempts++) {
    const failed = find(file);
    if (failed === undefined || failed.again.length === 0) return failed?.text;
    for (const args of failed.again) {
      const again = failure(...args);
      writeFileSync(join(copy, file), source);
      const without = again && failure(...args);
      writeFileSync(join(copy, file), changed);
      if (again && !without) return failed.text;
    }
    console.log(`  not by the fault: ${failed.text}`);
  }
  return undefined;
}

const files = run('git', 'ls-files', 'service', 'lib', 'bin').stdout.split('\n');
const lines = files
  .filter((file) => file.endsWith('.ts') && file.startsWith(values.only))
  .flatMap((file) => {
    const source = readFileSync(join(copy, file), 'utf8');
    const byLine = Object.groupBy(changesOf(source), ({ start }) => source.slice(0, start).split('\n').length);
    return Object.entries(byLine).map(([line, changes]) => ({ file, line, source, changes: changes as [Change] }));
  });
const earlier = values.out && existsSync(values.out) ? readFileSync(values.out, 'utf8').trim().split('\n') : [];
const results = earlier.filter(Boolean).map((line) => JSON.parse(line) as Result);
if (values.baseline && results.length === 0) {
  const failed = failure('run');
  if (failed !== undefined) throw new Error(`the tests must pass without a fault: ${failed.text}`);
}
const random = new Random(Number(values.seed));
for (let draw = 0; lines.length > 0; draw++) {
  if (results.filter(({ foundBy }) => foundBy !== 'refused').length >= Number(values.count)) break;
  // No line twice.
  const [{ file, line, source, changes }] = lines.splice(random.below(lines.length), 1) as [(typeof lines)[number]];
  const { kind, start, end, texts } = random.pick(changes);
  const changed = source.slice(0, start) + random.pick(texts) + source.slice(end);
  if (results.some((result) => result.draw === draw)) continue;
  const lineOf = (text: string) => text.split('\n')[Number(line) - 1]?.trim() ?? '';
  const change = `${file}:${line}  ${kind}\n  - ${lineOf(source)}\n  + ${lineOf(changed)}`;
  writeFileSync(join(copy, file), changed);
  const refused =
    run('node_modules/.bin/biome', 'lint', '--error-on-warnings', file).status !== 0 ||
    run('node_modules/.bin/tsc', '--noEmit', '--incremental', '--tsBuildInfoFile', '../tsbuildinfo').status !== 0;
  const foundBy = refused ? 'refused' : findByFault(file, { source, changed });
  writeFileSync(join(copy, file), source);
  const result: Result = { draw, change, ...(foundBy && { foundBy }) };
  results.push(result);
  if (values.out) appendFileSync(values.out, `${JSON.stringify(result)}\n`);
  if (!refused) console.log(`${change}\n  ${foundBy ? `found by ${foundBy}` : 'NOT FOUND'}`);
}
const counted = results.filter(({ foundBy }) => foundBy !== 'refused');
const found = counted.filter(({ foundBy }) => foundBy !== undefined).length;
console.log(`${found} of ${counted.length} found, seed ${values.seed}`);
