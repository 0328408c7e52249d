// What may be replaced at any time: the service with its image, its alarms and its dashboard.
import { Stack, type StackProps } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import type { BrokerStack } from './broker-stack.ts';
import { IngestorService } from './ingestor-service.ts';
import type { Settings } from './settings.ts';

export interface IngestorStackProps extends StackProps {
  readonly settings: Settings;
  readonly foundation: BrokerStack;
}

export class IngestorStack extends Stack {
  constructor(scope: Construct, id: string, props: IngestorStackProps) {
    super(scope, id, props);
    const { settings, foundation } = props;
    // The topology is there before the first task asks for it.
    this.addStackDependency(foundation, 'the broker and its topology');

    new IngestorService(this, 'Ingestor', {
      settings,
      vpc: foundation.network.vpc,
      subnets: foundation.network.serviceSubnets,
      brokerClients: foundation.brokerClients,
      discordToken: foundation.discordToken,
      brokerLogin: foundation.ingestorLogin,
      deploymentAlarms: [],
    });
  }
}
