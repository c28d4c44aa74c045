import { type Behaviour, textOf } from './exchange.ts';

/** A new classic load balancer has a health check on AWS, and none in moto: the cloud controller reads it at once. */
export const classicBalancers = (): Behaviour => ({
  async after({ call, ask }, answer) {
    if (call.service !== 'elb' || call.action !== 'CreateLoadBalancer' || answer.status >= 300) return answer;
    const [port] = /"InstancePort":(\d+)/.exec(JSON.stringify(call.params))?.slice(1) ?? [];
    await ask('elb', 'ConfigureHealthCheck', {
      LoadBalancerName: textOf(call.params, 'LoadBalancerName') ?? '',
      'HealthCheck.Target': `TCP:${port}`,
      'HealthCheck.Interval': '30',
      'HealthCheck.Timeout': '5',
      'HealthCheck.UnhealthyThreshold': '2',
      'HealthCheck.HealthyThreshold': '10',
    });
    return answer;
  },
});
