// What tests choose: a network, a broker and secrets that exist already.
import type { Choices } from '../../lib/settings.ts';

export const secretArn = (name: string) => `arn:aws:secretsmanager:eu-central-1:111122223333:secret:${name}-AbCdEf`;
export const keyArn = (name: string) => `arn:aws:kms:eu-central-1:111122223333:key/${name}`;

export const NETWORK = {
  vpcId: 'vpc-0a1b2c3d',
  brokerSubnetIds: ['subnet-0000000a'],
  serviceSubnetIds: ['subnet-1000000a', 'subnet-1000000b'],
};
export const BROKER = {
  name: 'theirs',
  host: 'b-1.mq.eu-central-1.on.aws',
  administratorSecretArn: secretArn('admin'),
  securityGroupId: 'sg-0a1b2c3d',
};

/** @param change to the existing network */
export const inNetwork = (change: object = {}): Choices => ({ network: { existing: { ...NETWORK, ...change } } });

/** In the existing network. @param change to the existing broker */
export const withBroker = (change: object = {}): Choices => ({
  ...inNetwork(),
  broker: { existing: { ...BROKER, ...change } },
});
