// Whether a deployment may begin: by the owner of the stacks, by their state, by their settings.
import { StackStatus } from '@aws-sdk/client-cloudformation';
import { describe, expect, it } from 'vitest';
import { deploymentFaults, type FoundStack, type Place } from '../../lib/deployed-stacks.ts';
import { type Choices, choicesOf, type Environment, settingsFor } from '../../lib/settings.ts';

const NAME = 'discord-ingestor-staging-broker';
const SERVICE = 'discord-ingestor-staging-service';
const arn = `arn:aws:cloudformation:eu-central-1:111122223333:stack/${NAME}/0a1b2c3d-0000-1111-2222-333344445555`;
const tags = { Application: 'discord-ingestor', Environment: 'staging', Instance: 'bot-1' };

function stack(change: Partial<FoundStack> = {}, deployed: Choices = {}): FoundStack {
  const settings = choicesOf(settingsFor('staging', deployed));
  const template = { Metadata: { DiscordIngestor: { instance: 'bot-1', settings } } };
  return { name: NAME, arn, status: 'UPDATE_COMPLETE', tags, terminationProtection: false, template, ...change };
}

/** Neither the login's account nor the zones are known. */
const UNKNOWN: Place = { account: undefined, zones: undefined };

function faults(stacks: readonly FoundStack[], choices: Choices = {}, instance: string | undefined = 'bot-1') {
  return deploymentFaults(stacks, { settings: settingsFor('staging', choices), instance }, UNKNOWN);
}

describe('the owner', () => {
  it('our stacks, of this instance, are updated', () => {
    expect(faults([stack()])).toEqual([]);
    expect(faults([])).toEqual([]);
    expect(faults([stack()], { account: '111122223333', region: 'eu-central-1' })).toEqual([]);
  });

  const AWAY = 'deploy this bot in another account or region';
  const foreign = (got: string) =>
    `${NAME}: expected the tag Application=discord-ingestor, got ${got}: this stack belongs to something else and would be overwritten. Remove it, or ${AWAY}`;
  const { Instance: _, ...unnamed } = tags;
  it.each<[fault: string, Partial<FoundStack>, Choices?, string?]>([
    [foreign('nothing'), { tags: {} }],
    [foreign("'shop'"), { tags: { Application: 'shop', Instance: 'bot-1' } }],
    [
      `${NAME}: deployed as instance bot-1, and this checkout is instance bot-2. If it is the same bot, write "instance": "bot-1" into cdk.context.json and commit it; if it is another bot, ${AWAY}`,
      {},
      {},
      'bot-2',
    ],
    [
      `${NAME}: expected the tag Instance, got none: it was not deployed by npm run deploy. If it is this bot's, npx cdk deploy --all -c environment=staging -c instance=bot-1 gives it one; otherwise ${AWAY}`,
      { tags: unnamed },
    ],
    [
      `account: expected 999988887777, got 111122223333, where ${NAME} was found. Log in to the other one, or change the setting`,
      {},
      { account: '999988887777' },
    ],
    [
      `region: expected eu-west-1, got eu-central-1, where ${NAME} was found. Log in to the other one, or change the setting`,
      {},
      { region: 'eu-west-1' },
    ],
    // It is not looked at further.
    [foreign('nothing'), { tags: {}, status: 'UPDATE_ROLLBACK_FAILED', template: undefined }],
  ])('%s', (fault, change, choices, instance) => {
    expect(faults([stack(change)], choices, instance)).toEqual([fault]);
  });

  it('a checkout without an instance, and the second stack, are checked too', () => {
    expect(deploymentFaults([stack()], { settings: settingsFor('staging'), instance: undefined }, UNKNOWN)).toEqual([
      expect.stringContaining('this checkout has no instance'),
    ]);
    expect(faults([stack(), stack({ name: SERVICE, tags: {} })])).toEqual([
      expect.stringMatching(/^discord-ingestor-staging-service: expected the tag/),
    ]);
  });
});

describe('the state', () => {
  const verdict = (status: string) => {
    const [fault = 'taken'] = faults([stack({ status })]);
    return /cdk rollback|delete-stack|Wait|taken/.exec(fault)?.[0] ?? fault;
  };
  const byVerdict = {
    taken: [
      ...['CREATE_COMPLETE', 'DELETE_COMPLETE', 'UPDATE_COMPLETE', 'UPDATE_ROLLBACK_COMPLETE', 'REVIEW_IN_PROGRESS'],
      ...['IMPORT_COMPLETE', 'IMPORT_ROLLBACK_COMPLETE'],
    ],
    'delete-stack': ['CREATE_FAILED', 'ROLLBACK_FAILED', 'ROLLBACK_COMPLETE', 'DELETE_FAILED'],
    'cdk rollback': ['UPDATE_FAILED', 'UPDATE_ROLLBACK_FAILED', 'IMPORT_ROLLBACK_FAILED'],
  };

  it('every state of CloudFormation has a verdict', () => {
    const named = Object.values(byVerdict).flat();
    for (const [expected, states] of Object.entries(byVerdict)) {
      for (const state of states) expect(verdict(state), state).toBe(expected);
    }
    const others = Object.values(StackStatus).filter((state) => !named.includes(state));
    expect(others.length).toBe(Object.keys(StackStatus).length - named.length);
    for (const state of others) expect(verdict(state), state).toBe('Wait');
  });

  const remove = `aws cloudformation delete-stack --stack-name ${NAME}`;
  const unprotect = `aws cloudformation update-termination-protection --no-enable-termination-protection --stack-name ${NAME}`;
  it.each<[command: string, Partial<FoundStack>]>([
    [`repair it, then npx cdk rollback ${NAME} -c environment=staging`, { status: 'UPDATE_ROLLBACK_FAILED' }],
    [`then ${remove}, and deploy again`, { status: 'ROLLBACK_COMPLETE' }],
    [`then ${unprotect} && ${remove}, and deploy again`, { status: 'ROLLBACK_COMPLETE', terminationProtection: true }],
  ])('%s', (command, change) => {
    expect(faults([stack(change)])[0]).toContain(command);
  });
});

describe('the place', () => {
  const inPlace = (place: Partial<Place>, environment: Environment, choices: Choices = {}) => {
    const wanted = { settings: settingsFor(environment, choices), instance: undefined };
    return deploymentFaults([], wanted, { ...UNKNOWN, ...place });
  };

  it('a login of another account reads other stacks than the CDK would change', () => {
    const account = '999988887777';
    expect(inPlace({ account: '111122223333' }, 'staging', { account })).toEqual([
      'account: expected a login of account 999988887777, got one of 111122223333. Log in there, or change the setting',
    ]);
    expect(inPlace({ account }, 'staging', { account })).toEqual([]);
    expect(inPlace({ account }, 'staging')).toEqual([]);
  });

  it('a region with two zones is enough for one node, and not for three', () => {
    const zones = ['us-west-1a', 'us-west-1c'];
    const few = 'network.zones: expected at most the 2 zones of this region (us-west-1a, us-west-1c), got 3.';
    expect(inPlace({ zones }, 'staging')).toEqual([]);
    expect(inPlace({ zones }, 'production')).toEqual([
      `${few} 3 nodes need as many: choose another region, or broker.nodes 1 with network.zones 2`,
    ]);
    expect(inPlace({ zones }, 'production', { broker: { nodes: 1 } })).toEqual([
      `${few} Set network.zones to 2, or choose another region`,
    ]);
    expect(inPlace({ zones: [...zones, 'us-west-1b'] }, 'production')).toEqual([]);
  });

  it('named zones are zones of the region', () => {
    const network = { availabilityZones: ['eu-west-1a', 'eu-west-1x'] };
    expect(inPlace({ zones: ['eu-west-1a', 'eu-west-1b'] }, 'staging', { network })).toEqual([
      'network.availabilityZones: expected zones of this region (eu-west-1a, eu-west-1b), got eu-west-1x',
    ]);
  });
});

describe('the settings', () => {
  const WAY_OUT = 'npx cdk deploy --all -c environment=staging deploys without comparing';

  it.each(['CREATE_FAILED', 'ROLLBACK_COMPLETE', 'ROLLBACK_FAILED'])('are not compared after %s', (status) => {
    const found = faults([stack({ status }, { network: { cidr: '10.99.0.0/16' } })]);
    expect(found).toEqual([expect.stringContaining(status)]);
  });

  it('are compared with those in the templates, each stack with its own', () => {
    const wanted: Choices = { broker: { engineVersion: '4.2' }, alarmEmail: 'new@example.com' };
    const service = stack({ name: SERVICE }, { alarmEmail: 'old@example.com' });
    expect(faults([stack(), service], wanted).map((fault) => fault.split(':')[0])).toEqual([
      'broker.engineVersion',
      'alarmEmail',
    ]);
  });

  it.each([undefined, { Metadata: { DiscordIngestor: { settings: 'none' } } }])(
    'that are missing in a template refuse the deployment: %j',
    (template) => {
      expect(faults([stack({ template })])).toEqual([
        `${NAME}: expected the settings in its template's Metadata.DiscordIngestor, got none. ${WAY_OUT}`,
      ]);
    },
  );

  it('that this version does not know are reported by name', () => {
    const template = { Metadata: { DiscordIngestor: { settings: { colour: 'red' } } } };
    expect(faults([stack({ template })])).toEqual([
      `${NAME}, as deployed: colour: no such setting. See lib/settings.ts for those that exist. ${WAY_OUT}`,
    ]);
  });

  it.each<Choices>([
    {},
    { egress: 'nat', alarmEmail: ['a@example.com'], shards: { count: 20 }, network: { zones: 3 } },
  ])('in a template lead to the same settings: %j', (choices) => {
    const settings = settingsFor('staging', choices);
    expect(settingsFor('staging', JSON.parse(JSON.stringify(choicesOf(settings))))).toEqual(settings);
  });
});
