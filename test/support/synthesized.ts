// An environment, synthesized as the CLI does it: with the flags of cdk.json, without credentials, in a folder of its own.
// The CDK's own rules run only together with other rules: they are slow, and validation.test.ts runs them.
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { App, type IPolicyValidationPlugin, Validations } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { type EnvironmentStacks, environmentStacks } from '../../lib/environment.ts';
import { type Choices, type Environment, type Settings, settingsFor } from '../../lib/settings.ts';

/** A resource as it stands in a template. */
export interface Resource {
  readonly Type: string;
  readonly Properties: Readonly<Record<string, unknown>>;
  readonly DependsOn?: readonly string[];
  readonly DeletionPolicy?: string;
  readonly UpdateReplacePolicy?: string;
  readonly Metadata?: Readonly<Record<string, unknown>>;
}

export interface Synthesized {
  readonly settings: Settings;
  readonly folder: string;
  readonly broker: Template;
  readonly ingestor: Template;
  /** Of both stacks, by logical id. */
  readonly resources: ReadonlyMap<string, Resource>;
  readonly outputs: ReadonlyMap<string, { readonly Value: unknown; readonly Description: string }>;
  ofType(type: string): [id: string, resource: Resource][];
  /** @throws Error where there is none, or more than one */
  one(type: string): Resource & { readonly id: string };
}

/** By environment and choices. Test files of one process share it: no test may change what it holds. */
const made = new Map<string, Synthesized>();

/**
 * @param plugins rules to run, beside the CDK's own
 * @param build creates the stacks @default - `environmentStacks`
 */
export function synthesized(
  environment: Environment,
  choices: Choices = {},
  plugins?: (app: App) => readonly IPolicyValidationPlugin[],
  build?: (app: App, settings: Settings) => EnvironmentStacks,
): Synthesized {
  if (plugins !== undefined || build !== undefined) return synthesize(environment, choices, plugins, build);
  const key = JSON.stringify([environment, choices]);
  const found = made.get(key) ?? synthesize(environment, choices);
  made.set(key, found);
  return found;
}

function synthesize(
  environment: Environment,
  choices: Choices,
  plugins?: (app: App) => readonly IPolicyValidationPlugin[],
  build: (app: App, settings: Settings) => EnvironmentStacks = environmentStacks,
): Synthesized {
  const { context } = JSON.parse(readFileSync(join(import.meta.dirname, '../../cdk.json'), 'utf8'));
  const folder = mkdtempSync(join(tmpdir(), 'ingestor-cdk-'));
  const app = new App({ context, outdir: folder, builtinCloudFormationValidation: plugins !== undefined });
  if (plugins) Validations.of(app).addPlugins(...plugins(app));
  const settings = settingsFor(environment, choices);
  const stacks = build(app, settings);
  const broker = Template.fromStack(stacks.broker);
  const ingestor = Template.fromStack(stacks.ingestor);
  const templates = [broker.toJSON(), ingestor.toJSON()];
  const resources = new Map<string, Resource>(templates.flatMap((template) => Object.entries(template.Resources)));
  const outputs = new Map<string, { Value: unknown; Description: string }>(
    templates.flatMap((template) => Object.entries(template.Outputs)),
  );
  const ofType = (type: string) => [...resources].filter(([, resource]) => resource.Type === type);
  return {
    settings,
    folder,
    broker,
    ingestor,
    resources,
    outputs,
    ofType,
    one(type) {
      const [found, ...others] = ofType(type);
      if (!found || others.length > 0) throw new Error(`expected one ${type}, got ${ofType(type).length}`);
      return { id: found[0], ...found[1] };
    },
  };
}
