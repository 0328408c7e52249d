// One environment: its two stacks, their names, tags and protection. An operator types the names. Each template carries its
// settings, and each stack the tags of its owner: `bin/deploy.ts` reads both.
import { type App, Tags } from 'aws-cdk-lib';
import { acknowledge } from './acknowledgements.ts';
import { BrokerStack } from './broker-stack.ts';
import { IngestorStack } from './ingestor-stack.ts';
import { choicesOf, type Settings } from './settings.ts';
import { APPLICATION, METADATA_KEY, type StackMetadata, stackNames, TAGS } from './stack-identity.ts';

export interface EnvironmentStacks {
  readonly broker: BrokerStack;
  readonly ingestor: IngestorStack;
}

/** @param instance the name of this bot's deployment, which `cdk synth` does not need */
export function environmentStacks(app: App, settings: Settings, instance?: string): EnvironmentStacks {
  const { environment, account, region } = settings;
  const env = { ...(account && { account }), ...(region && { region }) };
  const names = stackNames(environment);
  const tags = { [TAGS.application]: APPLICATION, [TAGS.environment]: environment };
  const common = {
    settings,
    env,
    terminationProtection: settings.keepsData,
    tags: { ...tags, ...(instance !== undefined && { [TAGS.instance]: instance }) },
  };
  const broker = new BrokerStack(app, names.broker, {
    ...common,
    description: `Discord ingestor, ${environment}: network, broker, topology and secrets`,
  });
  const ingestor = new IngestorStack(app, names.service, {
    ...common,
    foundation: broker,
    description: `Discord ingestor, ${environment}: the service, its alarms and its dashboard`,
  });
  for (const [name, value] of Object.entries(tags)) Tags.of(app).add(name, value);
  const metadata: StackMetadata = { instance: instance ?? null, settings: choicesOf(settings) };
  for (const stack of [broker, ingestor]) stack.addMetadata(METADATA_KEY, metadata);
  acknowledge(settings, [broker, ingestor]);
  return { broker, ingestor };
}
