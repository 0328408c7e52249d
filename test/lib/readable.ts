// A template as a reviewer reads it: a line for each value, references as ${LogicalId}, hashes masked. Left out is what follows
// from the rest or what no reviewer reads: tags, metadata, names, versions and roles of policies, the update of a custom
// resource that equals its creation, the layout of the dashboard, descriptions and actions of alarms (lib/alarms.ts).

interface Resource extends Readonly<Record<string, unknown>> {
  readonly Type: string;
  readonly Properties?: Readonly<Record<string, unknown>>;
}

interface Template {
  readonly Resources: Readonly<Record<string, Resource>>;
  readonly Outputs?: Readonly<Record<string, { readonly Value: unknown }>>;
}

/** By logical id, the lines of each resource and of the outputs. */
export function readable({ Resources, Outputs = {} }: Template): Map<string, string[]> {
  const resources = Object.entries(Resources)
    .filter(([, { Type }]) => Type !== 'AWS::CDK::Metadata')
    .map(([id, resource]): [string, string[]] => [id, block(id, resource)]);
  const outputs = Object.entries(Outputs).map(([id, { Value }]) => `  ${id}: ${inline(Value)}`);
  return new Map([...resources, ['outputs', ['outputs', ...outputs]]]);
}

/** What one has and the other has not, or not the same: `- ` before lines of `base`, `+ ` before lines of `other`. */
export function difference(base: ReadonlyMap<string, string[]>, other: ReadonlyMap<string, string[]>): string[][] {
  return [...new Set([...base.keys(), ...other.keys()])].flatMap((id) => {
    const [before = [], after = []] = [base.get(id), other.get(id)];
    if (after.length === 0) return [[`- ${before[0]}`]];
    if (before.length === 0) return [after.map((line) => `+ ${line}`)];
    const changed = [
      ...before.filter((line) => !after.includes(line)).map((line) => `- ${line}`),
      ...after.filter((line) => !before.includes(line)).map((line) => `+ ${line}`),
    ];
    return changed.length === 0 ? [] : [[`  ${before[0]}`, ...changed]];
  });
}

const WIDTH = 130;

const LEFT_OUT = new Set([
  ...[
    'Tags',
    'Version',
    'PolicyName',
    'Roles',
    'InstallLatestAwsSdk',
    'ServiceToken',
    'Metadata',
    'UpdateReplacePolicy',
  ],
  ...['x', 'y', 'width', 'height', 'view', 'region', 'yAxis', 'color', 'background'],
  ...['AlarmDescription', 'AlarmActions', 'OKActions'],
]);

function block(id: string, { Type, Properties = {}, ...rest }: Resource): string[] {
  const properties = Type === 'AWS::CloudWatch::Alarm' ? alarm(Properties) : Properties;
  const short = `${id}: ${Type} ${inline({ ...properties, ...rest })}`;
  return short.length <= WIDTH ? [short] : [`${id}: ${Type}`, ...lines({ ...properties, ...rest }, '  ')];
}

function alarm(properties: Readonly<Record<string, unknown>>): object {
  const { AlarmName, ComparisonOperator, Threshold, DatapointsToAlarm, EvaluationPeriods, ...rest } = properties;
  const {
    TreatMissingData,
    Namespace,
    MetricName,
    Dimensions = [],
    Statistic,
    ExtendedStatistic,
    Period,
    ...more
  } = rest;
  const pairs = (Dimensions as { Value: unknown }[]).map(({ Value }) => inline(Value));
  return {
    AlarmName,
    On: `${ComparisonOperator} ${Threshold}, ${DatapointsToAlarm} of ${EvaluationPeriods}, missing data: ${TreatMissingData}`,
    ...(Namespace !== undefined && {
      Metric: `${Statistic ?? ExtendedStatistic} in ${Period} s of ${[Namespace, MetricName, ...pairs].join(' ')}`,
    }),
    ...more,
  };
}

function entries(object: object): [key: string, value: unknown][] {
  const { Create, Update } = object as Record<string, unknown>;
  const same = JSON.stringify(Update) === JSON.stringify(Create);
  return Object.entries(object).filter(
    ([key, value]) =>
      !LEFT_OUT.has(key) && !(key === 'Update' && same) && !(key === 'DeletionPolicy' && value === 'Delete'),
  );
}

function lines(value: object, indent: string): string[] {
  return entries(value).flatMap(([key, raw]) => {
    const inner = simplified(raw);
    const name = Array.isArray(value) ? '-' : `${key}:`;
    const short = `${indent}${name} ${inline(inner)}`;
    if (short.length <= WIDTH || typeof inner !== 'object' || inner === null) return [short];
    if (Array.isArray(inner) && inner.every((each) => typeof simplified(each) !== 'object')) {
      return [`${indent}${name}`, ...wrapped(inner.map(inline), `${indent}  `)];
    }
    return [`${indent}${name}`, ...lines(inner, `${indent}  `)];
  });
}

/** As many words on a line as fit. */
function wrapped(words: readonly string[], indent: string): string[] {
  const list: string[] = [];
  for (const word of words) {
    const last = list.at(-1);
    if (last !== undefined && last.length + word.length + 2 <= WIDTH) list[list.length - 1] = `${last}, ${word}`;
    else list.push(`${indent}${word}`);
  }
  return list;
}

function inline(raw: unknown): string {
  const value = simplified(raw);
  if (Array.isArray(value)) return `[${value.map(inline).join(', ')}]`;
  if (typeof value !== 'object' || value === null) return String(value);
  const inner = entries(value).map(([key, each]) => `${key}: ${inline(each)}`);
  return `{ ${inner.join(', ')} }`;
}

/** Intrinsic functions as text; JSON in a text as what it is. */
function simplified(value: unknown): unknown {
  if (typeof value === 'string') return masked(parsed(value));
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  const [[name, argument] = ['', undefined], ...others] = Object.entries(value);
  if (others.length > 0) return value;
  const list = Array.isArray(argument) ? argument.map(simplified) : [];
  switch (name) {
    case 'Ref':
    case 'Fn::ImportValue':
      return `\${${argument}}`;
    case 'Fn::GetAtt':
      return `\${${list.join('.')}}`;
    case 'Fn::Sub':
      return masked(argument);
    case 'Fn::Base64':
      return argument;
    case 'Fn::Join':
      return masked(parsed((argument as [string, unknown[]])[1].map(simplified).join(String(list[0]))));
    case 'Fn::Split':
      return `${list[1]} split by '${list[0]}'`;
    case 'Fn::Select':
      return `part ${list[0]} of (${list[1]})`;
    case 'Fn::GetAZs':
      return 'zones';
    default:
      return value;
  }
}

function parsed(text: string): unknown {
  if (!text.startsWith('{"')) return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** Hashes of assets change with every line of code. */
function masked(value: unknown): unknown {
  return typeof value === 'string' ? value.replaceAll(/\b[0-9a-f]{64}\b/g, '<hash>') : value;
}
