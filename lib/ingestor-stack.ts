// What may be replaced at any time: the service with its image, its alarms and its dashboard.
import { CfnOutput, Stack, type StackProps } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import type { BrokerStack } from './broker-stack.ts';
import { Dashboard } from './dashboard.ts';
import { IngestorService } from './ingestor-service.ts';
import { Monitoring } from './monitoring.ts';
import { deploymentAlarms } from './release-alarms.ts';
import type { Settings } from './settings.ts';

export class IngestorStack extends Stack {
  constructor(
    scope: Construct,
    id: string,
    props: StackProps & { readonly settings: Settings; readonly foundation: BrokerStack },
  ) {
    super(scope, id, props);
    const { settings, foundation } = props;
    // The topology exists before the first task uses it.
    this.addStackDependency(foundation, 'the broker and its topology');

    const ingestor = new IngestorService(this, 'Ingestor', {
      settings,
      vpc: foundation.network.vpc,
      subnets: foundation.network.serviceSubnets,
      brokerClients: foundation.brokerClients,
      discordToken: foundation.discordToken,
      brokerLogin: foundation.ingestorLogin,
      deploymentAlarms: deploymentAlarms(settings),
    });

    const { service, logGroup } = ingestor;
    const monitoring = new Monitoring(this, 'Monitoring', { settings });
    // An alarm for which missing data is breaching would otherwise go on during the first deploy.
    for (const alarm of monitoring.alarms) alarm.node.addDependency(service);
    const dashboard = new Dashboard(this, 'Dashboard', { settings, ingestor, monitoring });

    const outputs: Record<string, [value: string, description: string]> = {
      DashboardLink: [dashboard.url, 'Is it healthy, how much flows, where is pressure, what it costs'],
      HealthAlarm: [monitoring.unhealthy.alarmName, 'The alarm that the bot is offline or events are lost'],
      AlarmTopic: [monitoring.pages.topicArn, 'What needs a person at once is published here: subscribe a pager'],
      NoticesTopic: [
        monitoring.notices.topicArn,
        'What can wait until the morning is published here: subscribe a chat',
      ],
      ClusterName: [service.cluster.clusterName, 'Cluster of the service'],
      ServiceName: [service.serviceName, 'The service: aws ecs update-service --force-new-deployment restarts it'],
      LogGroup: [logGroup.logGroupName, 'aws logs tail <this> --follow'],
    };
    for (const [name, [value, description]] of Object.entries(outputs)) {
      new CfnOutput(this, name, { value, description });
    }
  }
}
