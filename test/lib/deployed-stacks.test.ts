// Whether a deployment may begin: by whose the stacks are, by their state, by their settings.
import { StackStatus } from '@aws-sdk/client-cloudformation';
import { describe, expect, it } from 'vitest';
import { deploymentFaults, type FoundStack, type Place } from '../../lib/deployed-stacks.ts';
import { type Choices, choicesOf, settingsFor } from '../../lib/settings.ts';

const NAME = 'discord-ingestor-staging-broker';
const arn = `arn:aws:cloudformation:eu-central-1:111122223333:stack/${NAME}/0a1b2c3d-0000-1111-2222-333344445555`;
const tags = { Application: 'discord-ingestor', Environment: 'staging', Instance: 'bot-1' };

function stack(change: Partial<FoundStack> = {}, deployed: Choices = {}): FoundStack {
  const template = {
    Metadata: { DiscordIngestor: { instance: 'bot-1', settings: choicesOf(settingsFor('staging', deployed)) } },
  };
  return { name: NAME, arn, status: 'UPDATE_COMPLETE', tags, terminationProtection: false, template, ...change };
}

/** The login's account has not been asked, nor the zones. */
const nowhere: Place = { account: undefined, zones: undefined };

function faults(stacks: readonly FoundStack[], choices: Choices = {}, instance: string | undefined = 'bot-1') {
  return deploymentFaults(stacks, { settings: settingsFor('staging', choices), instance }, nowhere);
}

describe('whose it is', () => {
  it('ours, of this instance, is updated', () => {
    expect(faults([stack()])).toEqual([]);
    expect(faults([])).toEqual([]);
  });

  it.each<Readonly<Record<string, string>>>([{}, { Application: 'shop', Instance: 'bot-1' }])(
    "somebody else's is not taken over: %j",
    (theirs) => {
      expect(faults([stack({ tags: theirs })])).toEqual([
        expect.stringMatching(
          /^discord-ingestor-staging-broker: expected the tag Application=discord-ingestor, got (nothing|'shop'): this stack is somebody else's and would be overwritten\. Remove it, or deploy this bot in another account or region$/,
        ),
      ]);
    },
  );

  it("another bot's says both ways out", () => {
    expect(faults([stack()], {}, 'bot-2')).toEqual([
      `${NAME}: deployed as instance bot-1, and this checkout is instance bot-2. If it is the same bot, write "instance": "bot-1" into cdk.context.json and commit it; if it is another bot, deploy this bot in another account or region`,
    ]);
    expect(deploymentFaults([stack()], { settings: settingsFor('staging'), instance: undefined }, nowhere)).toEqual([
      expect.stringContaining('this checkout is of none'),
    ]);
  });

  it('one without an instance says how to give it one', () => {
    const { Instance: _, ...without } = tags;
    expect(faults([stack({ tags: without })])).toEqual([
      expect.stringContaining('npx cdk deploy --all -c environment=staging -c instance=bot-1 gives it one'),
    ]);
  });

  it('of another account or region than the settings say', () => {
    expect(faults([stack()], { account: '999988887777' })).toEqual([
      `account: expected 999988887777, got 111122223333, where ${NAME} was found. Log in to the other one, or change the setting`,
    ]);
    expect(faults([stack()], { region: 'eu-west-1' })).toEqual([
      expect.stringMatching(/^region: expected eu-west-1, got eu-central-1/),
    ]);
    expect(faults([stack()], { account: '111122223333', region: 'eu-central-1' })).toEqual([]);
  });

  it('what is not ours is judged by nothing else', () => {
    const theirs = stack({ tags: {}, status: 'UPDATE_ROLLBACK_FAILED', template: undefined });
    expect(faults([theirs], { broker: { engineVersion: '4.2' } })).toHaveLength(1);
  });

  it('each of the two stacks is looked at', () => {
    const service = stack({ name: 'discord-ingestor-staging-service', tags: {} });
    expect(faults([stack(), service])).toEqual([
      expect.stringMatching(/^discord-ingestor-staging-service: expected the tag/),
    ]);
  });
});

describe('the state', () => {
  const judged = Object.values(StackStatus).map(
    (status) => [status, faults([stack({ status })])[0] ?? 'taken'] as const,
  );

  it('every one that CloudFormation has is judged', () => {
    const verdict = (fault: string) => /cdk rollback|delete-stack|Wait|taken/.exec(fault)?.[0] ?? fault;
    expect(Object.fromEntries(judged.map(([status, fault]) => [status, verdict(fault)]))).toEqual({
      CREATE_IN_PROGRESS: 'Wait',
      CREATE_FAILED: 'delete-stack',
      CREATE_COMPLETE: 'taken',
      ROLLBACK_IN_PROGRESS: 'Wait',
      ROLLBACK_FAILED: 'delete-stack',
      ROLLBACK_COMPLETE: 'delete-stack',
      DELETE_IN_PROGRESS: 'Wait',
      DELETE_FAILED: 'delete-stack',
      DELETE_COMPLETE: 'taken',
      UPDATE_IN_PROGRESS: 'Wait',
      UPDATE_COMPLETE_CLEANUP_IN_PROGRESS: 'Wait',
      UPDATE_COMPLETE: 'taken',
      UPDATE_FAILED: 'cdk rollback',
      UPDATE_ROLLBACK_IN_PROGRESS: 'Wait',
      UPDATE_ROLLBACK_FAILED: 'cdk rollback',
      UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS: 'Wait',
      UPDATE_ROLLBACK_COMPLETE: 'taken',
      REVIEW_IN_PROGRESS: 'taken',
      IMPORT_IN_PROGRESS: 'Wait',
      IMPORT_COMPLETE: 'taken',
      IMPORT_ROLLBACK_IN_PROGRESS: 'Wait',
      IMPORT_ROLLBACK_FAILED: 'cdk rollback',
      IMPORT_ROLLBACK_COMPLETE: 'taken',
    });
  });

  it('a rollback that failed names the command for this stack', () => {
    expect(faults([stack({ status: 'UPDATE_ROLLBACK_FAILED' })])).toEqual([
      `${NAME} is UPDATE_ROLLBACK_FAILED: an update failed and was not rolled back to its end. Read why in its events, repair it, then npx cdk rollback ${NAME} -c environment=staging`,
    ]);
  });

  it('a creation that failed names the commands, the protection included where it is on', () => {
    expect(faults([stack({ status: 'ROLLBACK_COMPLETE' })])[0]).toContain(
      `then aws cloudformation delete-stack --stack-name ${NAME}, and deploy again`,
    );
    expect(faults([stack({ status: 'ROLLBACK_COMPLETE', terminationProtection: true })])[0]).toContain(
      `then aws cloudformation update-termination-protection --no-enable-termination-protection --stack-name ${NAME} && aws cloudformation delete-stack --stack-name ${NAME}`,
    );
  });
});

describe('where it would go', () => {
  const inPlace = (place: Partial<Place>, environment: 'staging' | 'production', choices: Choices = {}) =>
    deploymentFaults(
      [],
      { settings: settingsFor(environment, choices), instance: undefined },
      { ...nowhere, ...place },
    );

  it('a login of another account sees other stacks than the CDK would change', () => {
    expect(inPlace({ account: '111122223333' }, 'staging', { account: '999988887777' })).toEqual([
      'account: expected a login of account 999988887777, got one of 111122223333. Log in there, or change the setting',
    ]);
    expect(inPlace({ account: '999988887777' }, 'staging', { account: '999988887777' })).toEqual([]);
    expect(inPlace({ account: '111122223333' }, 'staging')).toEqual([]);
  });

  it('a region with two zones is enough for one node, and not for three', () => {
    const zones = ['us-west-1a', 'us-west-1c'];
    expect(inPlace({ zones }, 'staging')).toEqual([]);
    expect(inPlace({ zones }, 'production')).toEqual([
      'network.zones: expected at most the 2 zones of this region (us-west-1a, us-west-1c), got 3. 3 nodes need as many: choose another region, or broker.nodes 1 with network.zones 2',
    ]);
    expect(inPlace({ zones }, 'production', { broker: { nodes: 1 } })).toEqual([
      'network.zones: expected at most the 2 zones of this region (us-west-1a, us-west-1c), got 3. Set network.zones to 2, or choose another region',
    ]);
    expect(inPlace({ zones: [...zones, 'us-west-1b'] }, 'production')).toEqual([]);
  });

  it('zones by name are zones of the region', () => {
    const network = { availabilityZones: ['eu-west-1a', 'eu-west-1x'] };
    expect(inPlace({ zones: ['eu-west-1a', 'eu-west-1b'] }, 'staging', { network })).toEqual([
      'network.availabilityZones: expected zones of this region (eu-west-1a, eu-west-1b), got eu-west-1x',
    ]);
  });
});

describe('the settings', () => {
  const service = (deployed: Choices) => stack({ name: 'discord-ingestor-staging-service' }, deployed);

  it.each(['CREATE_FAILED', 'ROLLBACK_COMPLETE', 'ROLLBACK_FAILED'])(
    'of a stack that was never created (%s) are not compared: only its state is in the way',
    (status) => {
      const found = faults([stack({ status }, { network: { cidr: '10.99.0.0/16' } })]);
      expect(found).toHaveLength(1);
      expect(found[0]).toContain(status);
    },
  );

  it('are compared with those in the templates, each for its own', () => {
    const wanted: Choices = { broker: { engineVersion: '4.2' }, alarmEmail: 'new@example.com' };
    expect(
      faults([stack(), service({ alarmEmail: 'old@example.com' })], wanted).map((fault) => fault.split(':')[0]),
    ).toEqual(['broker.engineVersion', 'alarmEmail']);
  });

  it.each([undefined, {}, { Metadata: {} }, { Metadata: { DiscordIngestor: { settings: 'none' } } }])(
    'that a template does not say are no reason to go on: %j',
    (template) => {
      expect(faults([stack({ template })])).toEqual([
        `${NAME}: expected the settings in its template's Metadata.DiscordIngestor, got none. npx cdk deploy --all -c environment=staging deploys without comparing`,
      ]);
    },
  );

  it('that this version does not know are said by name', () => {
    const template = { Metadata: { DiscordIngestor: { settings: { colour: 'red' } } } };
    expect(faults([stack({ template })])).toEqual([
      `${NAME}, as deployed: colour: no such setting. See lib/settings.ts for those that exist. npx cdk deploy --all -c environment=staging deploys without comparing`,
    ]);
  });
});

it.each<[string, Choices]>([
  ['the defaults', {}],
  ['what differs', { egress: 'nat', alarmEmail: ['a@example.com'], shards: { count: 20 }, network: { zones: 3 } }],
])('what is written down about a deployment leads back to it: %s', (_, choices) => {
  const settings = settingsFor('staging', choices);
  expect(settingsFor('staging', JSON.parse(JSON.stringify(choicesOf(settings))))).toEqual(settings);
});
