// Whether a deployment may begin: the owner of the stacks, their state, the region, and their settings.
import { StackStatus } from '@aws-sdk/client-cloudformation';
import { describe, expect, it } from 'vitest';
import { deploymentFaults, type FoundStack, type Place } from '../../lib/deployed-stacks.ts';
import { type Choices, choicesOf, type Environment, settingsFor } from '../../lib/settings.ts';
import { instanceOf } from '../../lib/stack-identity.ts';

const NAME = 'discord-ingestor-staging-broker';
const SERVICE = 'discord-ingestor-staging-service';
const arn = `arn:aws:cloudformation:eu-central-1:111122223333:stack/${NAME}/0a1b2c3d-0000-1111-2222-333344445555`;
const tags = { Application: 'discord-ingestor', Environment: 'staging', Instance: 'bot-1' };

function stack(change: Partial<FoundStack> = {}, deployed: Choices = {}): FoundStack {
  const settings = choicesOf(settingsFor('staging', deployed));
  const template = { Metadata: { DiscordIngestor: { instance: 'bot-1', settings } } };
  return { name: NAME, arn, status: 'UPDATE_COMPLETE', tags, terminationProtection: false, template, ...change };
}

/** Neither the account of the credentials nor the zones are known. */
const UNKNOWN: Place = { account: undefined, zones: undefined };

function faults(stacks: readonly FoundStack[], choices: Choices = {}) {
  return deploymentFaults(stacks, { settings: settingsFor('staging', choices), instance: 'bot-1' }, UNKNOWN);
}

const AWAY = 'deploy this bot in another account or region';
const { Instance: _, ...unnamed } = tags;

it.each<[fault: string, Partial<FoundStack>, Choices?, instance?: string | null]>([
  [`${NAME}: expected the tag Application=discord-ingestor, got nothing: this stack belongs to`, { tags: {} }],
  // Another owner's stack is not checked further.
  [`Application=discord-ingestor, got 'shop': `, { tags: { Application: 'shop' }, status: 'UPDATE_FAILED' }],
  [`${NAME}: deployed as instance bot-1, and this checkout is instance bot-2. `, {}, {}, 'bot-2'],
  [`write "instance": "bot-1" into cdk.context.json and commit it; if it is another bot, ${AWAY}`, {}, {}, 'bot-2'],
  ['and this checkout has no instance', {}, {}, null],
  ['-c environment=staging -c instance=bot-1 gives it one', { tags: unnamed }],
  [`account: expected 999988887777, got 111122223333, where ${NAME} was found`, {}, { account: '999988887777' }],
  [`region: expected eu-west-1, got eu-central-1, where ${NAME} was found`, {}, { region: 'eu-west-1' }],
])('the owner: %s', (fault, change, choices = {}, instance = 'bot-1') => {
  const wanted = { settings: settingsFor('staging', choices), instance: instance ?? undefined };
  expect(deploymentFaults([stack(change)], wanted, UNKNOWN)).toEqual([expect.stringContaining(fault)]);
});

it('both stacks are checked, and those of this instance are accepted', () => {
  expect(faults([stack()], { account: '111122223333', region: 'eu-central-1' })).toEqual([]);
  expect(faults([])).toEqual([]);
  expect(faults([stack(), stack({ name: SERVICE, tags: {} })])).toEqual([expect.stringContaining(SERVICE)]);
});

it.each(['bot', 'Bot-1', '-bot', 'b'.repeat(41)])('an instance cannot have the name %s', (name) => {
  expect(() => instanceOf(name)).toThrow(/^.*\n {2}- instance: expected 4 to 40 lower-case letters/);
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

  it('is accepted or has advice, for every state of CloudFormation', () => {
    const named = new Map(
      Object.entries(byVerdict).flatMap(([expected, states]) => states.map((each) => [each, expected])),
    );
    for (const state of Object.values(StackStatus)) expect(verdict(state), state).toBe(named.get(state) ?? 'Wait');
  });

  it('comes with the command that repairs it', () => {
    const repair = (change: Partial<FoundStack>) => faults([stack(change)])[0];
    expect(repair({ status: 'UPDATE_FAILED' })).toContain(`then npx cdk rollback ${NAME} -c environment=staging`);
    const remove = `aws cloudformation delete-stack --stack-name ${NAME}, and deploy again`;
    expect(repair({ status: 'ROLLBACK_COMPLETE' })).toContain(
      `its creation failed, and CloudFormation takes no update of it. Read why in its events, then ${remove}`,
    );
    expect(repair({ status: 'DELETE_FAILED' })).toContain(
      'is DELETE_FAILED: its removal did not come to its end. Read',
    );
    expect(repair({ status: 'ROLLBACK_COMPLETE', terminationProtection: true })).toContain(
      `then aws cloudformation update-termination-protection --no-enable-termination-protection --stack-name ${NAME} && ${remove}`,
    );
  });
});

describe('account and zones', () => {
  const account = '999988887777';
  const zones = ['us-west-1a', 'us-west-1c'];
  const named = { network: { availabilityZones: ['us-west-1a', 'us-west-1x'] } };
  const few = 'network.zones: expected at most the 2 zones of this region (us-west-1a, us-west-1c), got 3.';

  it.each<[fault: string | undefined, Partial<Place>, Environment, Choices?]>([
    // Credentials of another account read other stacks than the CDK would change.
    [`account: expected a login of account ${account}, got one of 1`, { account: '1' }, 'staging', { account }],
    [undefined, { account }, 'staging', { account }],
    [undefined, { account }, 'staging'],
    // Two zones are enough for one node, but not for three.
    [undefined, { zones }, 'staging'],
    [
      `${few} 3 nodes need as many: choose another region, or broker.nodes 1 with network.zones 2`,
      { zones },
      'production',
    ],
    [`${few} Set network.zones to 2, or choose another region`, { zones }, 'production', { broker: { nodes: 1 } }],
    [undefined, { zones: [...zones, 'us-west-1b'] }, 'production'],
    ['got 2. Set network.zones to 1', { zones: ['us-west-1a'] }, 'staging'],
    ['expected zones of this region (us-west-1a, us-west-1c), got us-west-1x', { zones }, 'staging', named],
  ])('%s: %j, %s, %j', (fault, place, environment, choices = {}) => {
    const wanted = { settings: settingsFor(environment, choices), instance: undefined };
    const expected = fault === undefined ? [] : [expect.stringContaining(fault)];
    expect(deploymentFaults([], wanted, { ...UNKNOWN, ...place })).toEqual(expected);
  });
});

describe('the settings', () => {
  it.each(['CREATE_FAILED', 'ROLLBACK_COMPLETE', 'ROLLBACK_FAILED'])('are not compared after %s', (status) => {
    const found = faults([stack({ status }, { network: { cidr: '10.99.0.0/16' } })]);
    expect(found).toEqual([expect.stringContaining(status)]);
  });

  it('are compared, for each stack, with those in its own template', () => {
    const wanted: Choices = { broker: { engineVersion: '4.2' }, alarmEmail: 'new@example.com' };
    const service = stack({ name: SERVICE }, { alarmEmail: 'old@example.com' });
    expect(faults([stack(), service], wanted).map((fault) => fault.split(':')[0])).toEqual([
      'broker.engineVersion',
      'alarmEmail',
    ]);
  });

  it.each([
    ["expected the settings in its template's Metadata.DiscordIngestor, got none. ", undefined],
    ["expected the settings in its template's Metadata.DiscordIngestor, got none. ", { settings: 'none' }],
    // Settings of another version.
    [
      `as deployed: colour: no such setting. See lib/settings.ts for those that exist. `,
      { settings: { colour: 'red' } },
    ],
  ])('refuse the deployment when a template has none that can be read: %s', (fault, DiscordIngestor) => {
    const wayOut = 'npx cdk deploy --all -c environment=staging deploys without comparing';
    const found = faults([stack({ template: { Metadata: { DiscordIngestor } } })]);
    expect(found).toEqual([expect.stringContaining(fault + wayOut)]);
  });

  it.each<Choices>([
    {},
    { egress: 'nat', alarmEmail: ['a@example.com'], shards: { count: 20 }, network: { zones: 3 } },
  ])('are the same after they are written into a template and read: %j', (choices) => {
    const settings = settingsFor('staging', choices);
    expect(settingsFor('staging', JSON.parse(JSON.stringify(choicesOf(settings))))).toEqual(settings);
  });
});
