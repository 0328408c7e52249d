// How the rehearsal reads templates: the values that CloudFormation would resolve, and the task that ECS would run.
import { describe, expect, it } from 'vitest';
import { taskCommand, taskEnvironment } from '../../../lib/ingestor-service.ts';
import { settingsFor } from '../../../lib/settings.ts';
import { only, references, type Template, taskOf } from '../../../local/rehearsal/template.ts';
import { STOP_TIMEOUT_SECONDS } from '../../../service/contract/limits.ts';
import { synthesized } from '../../support/synthesized.ts';

const OTHER: Template = {
  Resources: { Broker: { Type: 'AWS::AmazonMQ::Broker' } },
  Outputs: {
    Weak: { Value: { Ref: 'Secret' } },
    Strong: { Value: { 'Fn::GetAtt': ['Broker', 'Arn'] }, Export: { Name: { 'Fn::Sub': `\${AWS::Region}-broker` } } },
  },
};
const resolve = references([OTHER], {
  ref: (id) => (id === 'AWS::Region' ? 'eu-central-1' : `ref:${id}`),
  attribute: (id, name) => (name === 'Endpoints' ? ['amqps://broker:5671', 'other'] : `${id}.${name}`),
});

describe('a reference', () => {
  const HOST = { 'Fn::Select': [0, { 'Fn::GetAtt': ['Broker', 'Endpoints'] }] };
  it.each<[string, unknown, unknown]>([
    ['Ref', { Ref: 'Secret' }, 'ref:Secret'],
    ['Fn::GetAtt', { 'Fn::GetAtt': ['Broker', 'Arn'] }, 'Broker.Arn'],
    ['Fn::GetAtt as a text', { 'Fn::GetAtt': 'Broker.Arn' }, 'Broker.Arn'],
    ['Fn::Join', { 'Fn::Join': ['', ['{"a":"', { Ref: 'Secret' }, '"}']] }, '{"a":"ref:Secret"}'],
    ['Fn::Select and Fn::Split', { 'Fn::Select': ['1', { 'Fn::Split': ['//', HOST] }] }, 'broker:5671'],
    ['Fn::Sub', { 'Fn::Sub': `a-\${AWS::Region}-\${Secret}-\${Broker.Arn}` }, 'a-eu-central-1-ref:Secret-Broker.Arn'],
    ['Fn::ImportValue', { 'Fn::ImportValue': 'eu-central-1-broker' }, 'Broker.Arn'],
    ['Fn::GetStackOutput', { 'Fn::GetStackOutput': { StackName: 'x', OutputName: 'Weak' } }, 'ref:Secret'],
    [
      'anything within',
      { list: [1, true, { Ref: 'Secret' }], none: null },
      { list: [1, true, 'ref:Secret'], none: null },
    ],
  ])('%s is resolved', (_, value, expected) => {
    expect(resolve(value)).toEqual(expected);
  });

  it.each<[string, unknown, RegExp]>([
    [
      'an unknown function',
      { 'Fn::Cidr': [] },
      /^expected a reference that the rehearsal can resolve, got {"Fn::Cidr":\[\]}$/,
    ],
    [
      'an export that no stack has',
      { 'Fn::ImportValue': 'x' },
      /^expected an output "x" in the other stack, got none$/,
    ],
    ['an output that is not there', { 'Fn::GetStackOutput': { OutputName: 'No' } }, /^expected an output "No"/],
  ])('%s is refused', (_, value, sentence) => {
    expect(() => resolve(value)).toThrow(sentence);
  });
});

describe('the task', () => {
  const made = synthesized('staging');
  const service = made.ingestor.toJSON() as Template;
  const all = references([service, made.broker.toJSON() as Template], {
    ref: (id) => `ref:${id}`,
    attribute: (id, name) => `${id}.${name}`,
  });

  it('is what the template says, with every reference resolved', () => {
    const settings = settingsFor('staging');
    const task = taskOf(service, all);
    expect(task).toMatchObject({
      image: expect.stringMatching(/^[0-9a-f]{64}$/),
      command: taskCommand(settings),
      user: '65532:65532',
      readOnly: true,
      dropped: ['ALL'],
      init: true,
      memoryMiB: settings.task.memoryMiB,
      stopTimeoutSeconds: STOP_TIMEOUT_SECONDS,
    });
    const arns = { DISCORD_BOT_TOKEN_SECRET_ARN: /^ref:DiscordToken/, RABBITMQ_SECRET_ARN: /^ref:IngestorLogin/ };
    for (const [name, arn] of Object.entries(arns)) expect(task.environment[name]).toMatch(arn);
    const { DISCORD_BOT_TOKEN_SECRET_ARN: token = '', RABBITMQ_SECRET_ARN: login = '' } = task.environment;
    expect(task.environment).toEqual(taskEnvironment(settings, token, login));
    expect(task.healthCheck[0]).toBe('/nodejs/bin/node');
  });

  it('is refused where it has what no container of the rehearsal gets', () => {
    const changed = structuredClone(service) as unknown as {
      Resources: Record<string, { Type: string; Properties: { ContainerDefinitions: Record<string, unknown>[] } }>;
    };
    const [id] = only(service, 'AWS::ECS::TaskDefinition');
    Object.assign(changed.Resources[id]?.Properties.ContainerDefinitions[0] ?? {}, { Privileged: true });
    expect(() => taskOf(changed as unknown as Template, all)).toThrow(/Unrecognized key: "Privileged"/);
  });
});
