// Reads CloudFormation's templates: resolves references to real values, and finds the task as its definition describes it to ECS.
// Pure. What it does not know, it refuses: a rehearsal that skips a property would rehearse something else.
import { z } from 'zod';

export interface Resource {
  readonly Type: string;
  readonly Properties?: Readonly<Record<string, unknown>>;
}

interface Output {
  readonly Value: unknown;
  readonly Export?: { readonly Name: unknown };
}

export interface Template {
  readonly Resources: Readonly<Record<string, Resource>>;
  readonly Outputs?: Readonly<Record<string, Output>>;
}

/** What exists, in CloudFormation's words. */
export interface Existing {
  /** What `Ref` gives, by logical id or pseudo parameter. */
  ref(id: string): unknown;
  attribute(id: string, name: string): unknown;
}

/** @returns a function that resolves every reference in a value; references between stacks by any template's outputs */
export function references(templates: readonly Template[], existing: Existing): (value: unknown) => unknown {
  const outputs = templates.flatMap(({ Outputs = {} }) => Object.values(Outputs));
  const attribute = (path: string): unknown => {
    const [id = '', ...name] = path.split('.');
    return name.length === 0 ? existing.ref(id) : existing.attribute(id, name.join('.'));
  };
  const list = (of: unknown) => resolve(of) as [string | number, never];
  const functions: Readonly<Record<string, (of: unknown) => unknown>> = {
    Ref: (of) => existing.ref(String(of)),
    'Fn::GetAtt': (of) => attribute(Array.isArray(of) ? of.join('.') : String(of)),
    'Fn::Join': (of) => {
      const [separator, parts] = list(of);
      return (parts as string[]).join(String(separator));
    },
    'Fn::Select': (of) => {
      const [index, items] = list(of);
      return (items as unknown[])[Number(index)];
    },
    'Fn::Split': (of) => {
      const [separator, text] = list(of);
      return (text as string).split(String(separator));
    },
    'Fn::Sub': (of) => String(of).replace(/\$\{([^}]+)\}/g, (_, path: string) => String(attribute(path))),
    'Fn::ImportValue': (of) => {
      const name = resolve(of);
      const found = outputs.find(({ Export }) => Export !== undefined && resolve(Export.Name) === name);
      if (!found) throw new Error(`expected an output ${JSON.stringify(name)} in the other stack, got none`);
      return resolve(found.Value);
    },
  };
  function resolve(value: unknown): unknown {
    if (Array.isArray(value)) return value.map(resolve);
    if (typeof value !== 'object' || value === null) return value;
    const entries = Object.entries(value);
    const [[name, of] = ['', undefined]] = entries;
    if (entries.length > 1 || !/^(Ref|Fn::\w+)$/.test(name))
      return Object.fromEntries(entries.map(([key, inner]) => [key, resolve(inner)]));
    const resolved = functions[name];
    if (!resolved) throw new Error(`expected a reference that the rehearsal can resolve, got ${JSON.stringify(value)}`);
    return resolved(of);
  }
  return resolve;
}

/** @throws Error where there is none, or more than one */
export function only(template: Template, type: string): readonly [id: string, properties: Record<string, unknown>] {
  const found = Object.entries(template.Resources).filter(([, resource]) => resource.Type === type);
  const [first] = found;
  if (!first || found.length > 1) throw new Error(`expected one ${type} in the template, got ${found.length}`);
  return [first[0], { ...first[1].Properties }];
}

/** The container of the task definition. A property that is not here is refused. */
const CONTAINER = z.strictObject({
  Name: z.string(),
  Essential: z.literal(true),
  Image: z.string(),
  Command: z.array(z.string()),
  Environment: z.array(z.strictObject({ Name: z.string(), Value: z.string() })),
  User: z.string(),
  ReadonlyRootFilesystem: z.boolean(),
  LinuxParameters: z.strictObject({
    Capabilities: z.strictObject({ Drop: z.array(z.string()) }),
    InitProcessEnabled: z.boolean(),
  }),
  HealthCheck: z.object({ Command: z.tuple([z.literal('CMD')]).rest(z.string()) }),
  Memory: z.number(),
  StopTimeout: z.number(),
  // Where the output goes does not concern the container.
  LogConfiguration: z.unknown(),
});

export type Task = ReturnType<typeof taskOf>;

/** @throws Error with one sentence where the definition has what the rehearsal cannot give to a container */
export function taskOf(service: Template, resolve: (value: unknown) => unknown) {
  const [, { ContainerDefinitions }] = only(service, 'AWS::ECS::TaskDefinition');
  const parsed = z.tuple([CONTAINER]).safeParse(resolve(ContainerDefinitions));
  if (!parsed.success)
    throw new Error(`the task definition has what the rehearsal does not know:\n${z.prettifyError(parsed.error)}`);
  const [{ LinuxParameters: linux, ...container }] = parsed.data;
  return {
    /** The hash of the image's asset. */
    image: container.Image.split(':').at(-1) ?? '',
    command: container.Command,
    environment: Object.fromEntries(container.Environment.map(({ Name, Value }) => [Name, Value])),
    user: container.User,
    readOnly: container.ReadonlyRootFilesystem,
    dropped: linux.Capabilities.Drop,
    init: linux.InitProcessEnabled,
    memoryMiB: container.Memory,
    stopTimeoutSeconds: container.StopTimeout,
    /** Command and arguments, run inside. */
    healthCheck: container.HealthCheck.Command.slice(1),
  };
}
