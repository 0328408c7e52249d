// How the rehearsal reads templates: it resolves values as CloudFormation does, and finds the task that ECS would run.
import { expect, it } from 'vitest';
import { taskCommand, taskEnvironment } from '../../../lib/ingestor-service.ts';
import { settingsFor } from '../../../lib/settings.ts';
import { only, references, type Template, taskOf } from '../../../local/rehearsal/template.ts';
import { STOP_TIMEOUT_SECONDS } from '../../../service/contract/limits.ts';
import { synthesized } from '../../support/synthesized.ts';

const OTHER: Template = {
  Resources: { Broker: { Type: 'AWS::AmazonMQ::Broker' } },
  Outputs: {
    Strong: { Value: { 'Fn::GetAtt': ['Broker', 'Arn'] }, Export: { Name: { 'Fn::Sub': `\${AWS::Region}-broker` } } },
  },
};
const resolve = references([OTHER], {
  ref: (id) => (id === 'AWS::Region' ? 'eu-central-1' : `ref:${id}`),
  attribute: (id, name) => (name === 'Endpoints' ? ['amqps://broker:5671', 'other'] : `${id}.${name}`),
});
const HOST = { 'Fn::Select': [0, { 'Fn::GetAtt': ['Broker', 'Endpoints'] }] };

it.each<[unknown, unknown]>([
  [{ 'Fn::Join': ['', ['{"a":"', { Ref: 'Secret' }, '"}']] }, '{"a":"ref:Secret"}'],
  [{ 'Fn::Select': ['1', { 'Fn::Split': ['//', HOST] }] }, 'broker:5671'],
  [{ 'Fn::Sub': `a-\${AWS::Region}-\${Secret}-\${Broker.Arn}` }, 'a-eu-central-1-ref:Secret-Broker.Arn'],
  [{ 'Fn::ImportValue': 'eu-central-1-broker' }, 'Broker.Arn'],
  [
    { list: [1, true, { Ref: 'Secret' }], none: null },
    { list: [1, true, 'ref:Secret'], none: null },
  ],
])('resolves %j to %j', (value, expected) => {
  expect(resolve(value)).toEqual(expected);
});

it.each<[unknown, string]>([
  [{ 'Fn::Cidr': [] }, 'expected a reference that the rehearsal can resolve, got {"Fn::Cidr":[]}'],
  [{ 'Fn::ImportValue': 'x' }, 'expected an output "x" in the other stack, got none'],
])('refuses %j', (value, sentence) => {
  expect(() => resolve(value)).toThrow(sentence);
});

const made = synthesized('staging');
const service = made.ingestor.toJSON() as Template;
const all = references([service, made.broker.toJSON() as Template], {
  ref: (id) => `ref:${id}`,
  attribute: (id, name) => `${id}.${name}`,
});

it('reads the task of the template, with every reference resolved', () => {
  const settings = settingsFor('staging');
  const { environment, image, healthCheck, ...task } = taskOf(service, all);
  expect(task).toEqual({
    command: taskCommand(settings),
    user: '65532:65532',
    readOnly: true,
    dropped: ['ALL'],
    init: true,
    memoryMiB: settings.task.memoryMiB,
    stopTimeoutSeconds: STOP_TIMEOUT_SECONDS,
  });
  expect(image).toMatch(/^[0-9a-f]{64}$/);
  expect(healthCheck[0]).toBe('/nodejs/bin/node');
  const { DISCORD_BOT_TOKEN_SECRET_ARN: token = '', RABBITMQ_SECRET_ARN: login = '' } = environment;
  expect([token, login]).toEqual([expect.stringMatching(/^ref:DiscordToken/), expect.stringMatching(/^ref:IngestorL/)]);
  expect(environment).toEqual(taskEnvironment(settings, token, login));
});

it('refuses a task with a property that the rehearsal does not support', () => {
  const changed = JSON.parse(JSON.stringify(service));
  const [id] = only(service, 'AWS::ECS::TaskDefinition');
  changed.Resources[id].Properties.ContainerDefinitions[0].Privileged = true;
  expect(() => taskOf(changed, all)).toThrow(/Unrecognized key: "Privileged"/);
});
