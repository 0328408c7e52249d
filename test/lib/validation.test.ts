// Public rules: the CDK's own validation and cdk-nag's AwsSolutions, which bin/app.ts runs too, and Control Tower's guard rules,
// whose binary for Linux and macOS runs only here. The stacks follow each rule, or lib/acknowledgements.ts acknowledges it with
// a reason; and each acknowledgement is needed.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CfnGuardValidator } from '@cdklabs/cdk-validator-cfnguard';
import type { App, IPolicyValidationPlugin } from 'aws-cdk-lib';
import { AwsSolutionsChecks } from 'cdk-nag';
import { describe, expect, it } from 'vitest';
import { acknowledgements } from '../../lib/acknowledgements.ts';
import { BrokerStack } from '../../lib/broker-stack.ts';
import { IngestorStack } from '../../lib/ingestor-stack.ts';
import { type Choices, ENVIRONMENTS, type Environment, type Settings, settingsFor } from '../../lib/settings.ts';
import { inNetwork, secretArn, withBroker } from '../support/choices.ts';
import { type Synthesized, synthesized } from '../support/synthesized.ts';

const awsSolutions = (app: App) => [new AwsSolutionsChecks(app)];

/** `rule at construct`, without acknowledged violations. */
function violations({ folder }: Synthesized): string[] {
  const { pluginReports } = JSON.parse(readFileSync(join(folder, 'validation-report.json'), 'utf8')) as {
    pluginReports: { violations: { ruleName: string; violatingConstructs?: { constructPath?: string }[] }[] }[];
  };
  return pluginReports
    .flatMap((report) => report.violations)
    .flatMap(({ ruleName, violatingConstructs = [] }) =>
      violatingConstructs.map(({ constructPath }) => `${ruleName} at ${constructPath}`),
    );
}

const CONTROL_TOWER = join(import.meta.dirname, '../../node_modules/@cdklabs/cdk-validator-cfnguard/rules');
const RULES = readdirSync(CONTROL_TOWER, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.guard'))
  .map((name) => ({ file: join(CONTROL_TOWER, name), text: readFileSync(join(CONTROL_TOWER, name), 'utf8') }));

/**
 * Only its rules that name a resource type of the templates: the others find nothing, and are slow.
 * @param found gets the names of violated rules, acknowledged or not
 */
function controlTower(found: Set<string>): IPolicyValidationPlugin {
  return {
    name: 'cdk-validator-cfnguard',
    validate(context) {
      const types = context.templatePaths.flatMap((path) => readFileSync(path, 'utf8').match(/AWS::\w+::\w+/g) ?? []);
      const named = RULES.filter(({ text }) => types.some((type) => text.includes(type)));
      const rules = named.map(({ file }) => file);
      const report = new CfnGuardValidator({ controlTowerRulesEnabled: false, rules }).validate(context);
      for (const { ruleName } of report.violations) found.add(ruleName);
      return report;
    },
  };
}

/** As `environmentStacks` creates them, without the acknowledgements. */
function unacknowledged(app: App, settings: Settings) {
  const broker = new BrokerStack(app, `discord-ingestor-${settings.environment}-broker`, { settings });
  const props = { settings, foundation: broker };
  return { broker, ingestor: new IngestorStack(app, `discord-ingestor-${settings.environment}-service`, props) };
}

function acknowledged(environment: Environment, prefix: string): string[] {
  const rules = acknowledgements(settingsFor(environment)).flatMap((each) => each.rules);
  const ours = rules.filter((rule) => rule.startsWith(prefix));
  return [...new Set(ours.map((rule) => rule.replace('cdk-validator-cfnguard::', '')))].sort();
}

describe.each(ENVIRONMENTS)('%s', (environment) => {
  it('needs each of the acknowledgements of AwsSolutions', () => {
    let message = '';
    try {
      synthesized(environment, {}, awsSolutions, unacknowledged);
    } catch (error) {
      message = String(error);
    }
    const rules = new Set([...message.matchAll(/Acknowledge with 'AwsSolutions::(.+)'/g)].map(([, rule]) => rule));
    expect([...rules].sort()).toEqual(acknowledged(environment, 'AwsSolutions-'));
  });

  it("follows Control Tower's rules and AwsSolutions, or needs its acknowledgement", () => {
    const found = new Set<string>();
    const plugins = (app: App) => [controlTower(found), ...awsSolutions(app)];
    expect(violations(synthesized(environment, {}, plugins))).toEqual([]);
    expect([...found].sort()).toEqual(acknowledged(environment, 'cdk-validator-cfnguard'));
  });
});

// A violation that is not acknowledged fails the synthesis: these settings could not be chosen.
it.each<[Environment, Choices]>([
  [
    'staging',
    {
      ...{ account: '111122223333', region: 'eu-central-1', alarmEmail: 'ops@example.com' },
      ...{ ...inNetwork(), task: { execEnabled: true }, broker: { size: 'mq.m7g.4xlarge' } },
    },
  ],
  [
    'production',
    {
      ...{ egress: 'public-ip', rotationDays: 0, broker: { nodes: 1, size: 'mq.m7g.2xlarge' } },
      discordTokenSecretArn: secretArn('token'),
    },
  ],
  ['staging', { ...withBroker(), egress: 'nat', shards: { count: 20 } }],
])('AwsSolutions finds nothing in %s with %j', (environment, choices) => {
  expect(violations(synthesized(environment, choices, awsSolutions))).toEqual([]);
});

it('every acknowledgement has a reason and at least one construct', () => {
  for (const { rules, at, reason } of ENVIRONMENTS.flatMap((each) => acknowledgements(settingsFor(each)))) {
    expect(reason.length, rules[0]).toBeGreaterThan(30);
    expect(at.length, rules[0]).toBeGreaterThan(0);
  }
});
