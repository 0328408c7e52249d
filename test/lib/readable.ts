// A template as a person reads it: a line for each value, references as ${LogicalId}, what changes by itself masked,
// and what says nothing left out.

interface Template {
  readonly Resources: Readonly<Record<string, { readonly Type: string } & Readonly<Record<string, unknown>>>>;
  readonly Outputs?: Readonly<Record<string, unknown>>;
}

export function readable(template: Template): string {
  const resources = Object.entries(template.Resources)
    .filter(([, { Type }]) => Type !== 'AWS::CDK::Metadata')
    .map(([id, { Type, Metadata: _, ...rest }]) => [`${id}: ${Type}`, ...lines(rest, 1)].join('\n'));
  const outputs = Object.entries(template.Outputs ?? {}).map(([id, output]) => [id, ...lines(output, 1)].join('\n'));
  return `${[...resources, '---- outputs ----', ...outputs].join('\n\n')}\n`;
}

const WIDTH = 130;

function lines(value: unknown, depth: number): string[] {
  const indent = '  '.repeat(depth);
  return Object.entries(Object(value)).flatMap(([key, raw]) => {
    if (key === 'Tags') return [];
    const inner = simplified(raw);
    const short = `${indent}${key}: ${inline(inner)}`;
    if (short.length <= WIDTH || typeof inner !== 'object' || inner === null) return [short];
    return [`${indent}${key}:`, ...lines(inner, depth + 1)];
  });
}

function inline(raw: unknown): string {
  const value = simplified(raw);
  if (Array.isArray(value)) return `[${value.map(inline).join(', ')}]`;
  if (typeof value !== 'object' || value === null) return String(value);
  const entries = Object.entries(value).filter(([key]) => key !== 'Tags');
  return `{ ${entries.map(([key, inner]) => `${key}: ${inline(inner)}`).join(', ')} }`;
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
      return `\${${argument}}`;
    case 'Fn::GetAtt':
      return `\${${list.join('.')}}`;
    case 'Fn::Sub':
      return masked(argument);
    case 'Fn::Base64':
      return argument;
    case 'Fn::Join': {
      const [separator = '', parts = []] = (argument ?? []) as [string, unknown[]];
      return masked(parsed(parts.map(simplified).join(separator)));
    }
    case 'Fn::Split':
      return `${list[1]} split by '${list[0]}'`;
    case 'Fn::Select':
      return `part ${list[0]} of (${list[1]})`;
    case 'Fn::GetAZs':
      return 'zones';
    case 'Fn::ImportValue':
      return `\${${argument}}`;
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
