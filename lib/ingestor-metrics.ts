// The service's metrics in CloudWatch: with the namespace and the dimensions that its embedded metric format has. A name that
// the service does not publish does not compile.
import { Duration } from 'aws-cdk-lib';
import { Metric, type MetricOptions } from 'aws-cdk-lib/aws-cloudwatch';
import {
  DEFAULT_METRICS_NAMESPACE,
  ENVIRONMENT_DIMENSION,
  METRICS,
  METRICS_PERIOD_SECONDS,
  type Metric as Published,
} from '../service/contract/metrics.ts';

export interface IngestorMetricProps extends Pick<MetricOptions, 'statistic' | 'period' | 'label' | 'color'> {
  readonly environment: string;
  /** For a metric that is published per queue. */
  readonly queue?: string | undefined;
}

/** @default - period: a minute, as the service publishes */
export function ingestorMetric(name: keyof typeof METRICS, props: IngestorMetricProps): Metric {
  const { cloudWatch: metricName, label }: Published = METRICS[name];
  const { environment, queue, ...options } = props;
  return new Metric({
    namespace: DEFAULT_METRICS_NAMESPACE,
    metricName,
    dimensionsMap: { [ENVIRONMENT_DIMENSION]: environment, ...(label && { [label]: queue ?? '' }) },
    period: Duration.seconds(METRICS_PERIOD_SECONDS),
    ...options,
  });
}
