import { elasticIp } from './elastic-ip.ts';
import { endpoint } from './endpoint.ts';
import { firewall } from './firewall.ts';
import { internetGateway } from './internet-gateway.ts';
import { natGateway } from './nat-gateway.ts';
import { routeTable } from './route-table.ts';
import { securityGroup } from './security-group.ts';
import { subnet } from './subnet.ts';
import { vpc } from './vpc.ts';

/** The types of design-network.ts. */
export const networkTypes = [
  vpc,
  subnet,
  internetGateway,
  elasticIp,
  natGateway,
  routeTable,
  endpoint,
  securityGroup,
  firewall,
] as const;
