"""moto behind HTTP/1.1: keep-alive, no request log, a port of the system's choice, and an end with its parent.

usage: moto_server.py HOST PORT. Prints the port it listens on. Ends when its standard input does: a test run that is killed
takes its server along, whatever killed it.
"""

import copy
import functools
import inspect
import logging
import os
import re
import sys
import threading

import moto.backends
from moto.autoscaling.exceptions import ValidationError
from moto.autoscaling.models import AutoScalingBackend, FakeAutoScalingGroup, InstanceState
from moto.ec2.models.core import TaggedEC2Resource
from moto.ec2.models.iam_instance_profile import IamInstanceProfileAssociationBackend
from moto.ec2.models.instances import Instance, InstanceBackend
from moto.ec2.models.launch_templates import LaunchTemplateVersion
from moto.ec2.models.nat_gateways import NatGatewayBackend
from moto.ec2.models.route_tables import Route
from moto.ec2.models.security_groups import SecurityGroupRule
from moto.ec2.models.subnets import SubnetCidrReservation
from moto.ec2.models.tags import TagBackend
from moto.ec2.models.vpcs import VPCBackend
from moto.ec2.utils import EC2_PREFIX_TO_RESOURCE, get_prefix, parse_user_data, simple_aws_filter_to_re, tag_filter_matches
from moto.iam.exceptions import NotFoundException
from moto.iam.models import IAMBackend
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server


class Handler(MotoRequestHandler):
    # One connection for many requests; without Nagle, as headers and body are two writes.
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_request(self, code="-", size="-"):
        pass


# --- What moto finds out anew for each request: half of a request's time ---------------------------------------------------------------

modules = tuple(moto.backends.list_of_moto_modules())
moto.backends.list_of_moto_modules = lambda: modules
inspect.getmembers = functools.lru_cache(maxsize=None)(inspect.getmembers)

# --- What moto does wrong and nobody can mend from outside ---------------------------------------------------------------------------

replace_profile = IamInstanceProfileAssociationBackend.replace_iam_instance_profile_association


def replace_profile_of_the_instance(self, *args, **kwargs):
    """The instance shows its new profile, too."""
    association = replace_profile(self, *args, **kwargs)
    association.instance.iam_instance_profile = {
        "Arn": association.iam_instance_profile.arn,
        "Id": association.association_id,
    }
    return association


IamInstanceProfileAssociationBackend.replace_iam_instance_profile_association = replace_profile_of_the_instance

prep_nics = Instance.prep_nics
terminate = Instance.terminate


def prep_nics_that_go_with_the_instance(self, nic_spec, *args, **kwargs):
    """An interface that a launch makes goes with its instance, unless the launch says otherwise; one that was there stays."""
    there = set(self.ec2_backend.enis)
    kept = {int(nic["DeviceIndex"]) for nic in nic_spec or [] if nic.get("DeleteOnTermination") is False}
    prep_nics(self, nic_spec, *args, **kwargs)
    for index, nic in self.nics.items():
        nic.delete_on_termination = nic.id not in there and index not in kept


def terminate_and_let_go(self):
    """A terminated instance holds no interface: moto leaves what is to stay attached to it for ever."""
    state = terminate(self)
    nics = self.nics
    # What the instance shows of itself afterwards still needs its interfaces.
    self.nics = {index: copy.copy(nic) for index, nic in nics.items()}
    for nic in nics.values():
        nic.instance = nic.attachment_id = nic.attach_time = nic.device_index = None
        nic.status = "available"
    return state


get_reservations_by_instance_ids = InstanceBackend.get_reservations_by_instance_ids


def get_reservations_by_instance_ids_once(self, instance_ids, filters=None):
    """Who asks for an instance twice, as upstream's cloud controller does when two of its workers ask at once, is told of it once: moto breaks."""
    return get_reservations_by_instance_ids(self, list(dict.fromkeys(instance_ids)), filters)


InstanceBackend.get_reservations_by_instance_ids = get_reservations_by_instance_ids_once

delete_nat_gateway = NatGatewayBackend.delete_nat_gateway
describe_nat_gateways = NatGatewayBackend.describe_nat_gateways


def delete_nat_gateway_and_let_go(self, nat_gateway_id):
    """Its interface goes with it, and its address is free: moto keeps both for ever."""
    nat = delete_nat_gateway(self, nat_gateway_id)
    for address in nat.address_set:
        if address.get("associationId"):
            self.disassociate_address(association_id=address["associationId"])
    self.enis.pop(nat._eni.id, None)
    return nat


def describe_nat_gateways_by_tag(self, filters, nat_gateway_ids):
    """moto ignores filters by tag."""
    tags = {key: value for key, value in (filters or {}).items() if key.startswith("tag")}
    found = describe_nat_gateways(self, filters, nat_gateway_ids)
    return [nat for nat in found if all(tag_filter_matches(nat, key, value) for key, value in tags.items())]


NatGatewayBackend.delete_nat_gateway = delete_nat_gateway_and_let_go
NatGatewayBackend.describe_nat_gateways = describe_nat_gateways_by_tag


def same_rule(self, other):
    """What a rule lets through makes it that rule; its description does not: moto finds no described rule when it is to be revoked."""

    def key(rule):
        cidr = rule.ip_range or {}
        group = rule.source_group or {}
        ports = None if rule.ip_protocol == "-1" else (rule.from_port, rule.to_port)
        prefix = (rule.prefix_list_id or {}).get("PrefixListId")
        source = group.get("GroupId") or group.get("GroupName")
        return rule.ip_protocol, ports, cidr.get("CidrIp"), cidr.get("CidrIpv6"), source, prefix

    return key(self) == key(other)


SecurityGroupRule.__eq__ = same_rule
Instance.prep_nics = prep_nics_that_go_with_the_instance
Instance.terminate = terminate_and_let_go


delete_vpc_endpoints = VPCBackend.delete_vpc_endpoints


def delete_endpoints_that_are_there(self, vpce_ids=None):
    """What is deleted already has no routes any more: moto looks for them and breaks off."""
    there = [one for one in vpce_ids or [] if one in self.vpc_end_points and self.vpc_end_points[one].state != "deleted"]
    delete_vpc_endpoints(self, there)


VPCBackend.delete_vpc_endpoints = delete_endpoints_that_are_there

modify_vpc_endpoint = VPCBackend.modify_vpc_endpoint


def modify_endpoint_and_its_routes(self, vpc_id, *args, **kwargs):
    """A gateway endpoint's route tables have a route to it: moto makes them when it is made, and changes none with it."""
    endpoint = self.describe_vpc_endpoints(vpc_end_point_ids=[vpc_id])[0]
    before = set(endpoint.route_table_ids or [])
    modify_vpc_endpoint(self, vpc_id, *args, **kwargs)
    after = set(endpoint.route_table_ids or [])
    prefixes = endpoint.destination_prefix_list_id
    for table in before - after if prefixes else ():
        self.delete_route(table, prefixes)
    for table in after - before if prefixes else ():
        self.create_route(table, None, gateway_id=vpc_id, destination_prefix_list_id=prefixes)


VPCBackend.modify_vpc_endpoint = modify_endpoint_and_its_routes


remove_role_from_instance_profile = IAMBackend.remove_role_from_instance_profile


def remove_role_that_is_there(self, profile_name, role_name):
    """A second try of the same call is told so: moto breaks."""
    if role_name not in [role.name for role in self.get_instance_profile(profile_name).roles]:
        raise NotFoundException(f"Role {role_name} in Instance Profile {profile_name} cannot be found.")
    remove_role_from_instance_profile(self, profile_name, role_name)


IAMBackend.remove_role_from_instance_profile = remove_role_that_is_there


version_init = LaunchTemplateVersion.__init__
group_update = FakeAutoScalingGroup.update


def version_with_user_data(self, template, number, data, description):
    """moto decodes the user data of a template's first version only, and breaks when a group launches another."""
    if isinstance(data.get("UserData"), str):
        data = {**data, "UserData": parse_user_data(data["UserData"])}
    version_init(self, template, number, data, description)


def update_what_is_given(self, *args, mixed_instances_policy=None, **kwargs):
    """What an update does not name stays: moto forgets the policy."""
    before = self.mixed_instances_policy
    group_update(self, *args, mixed_instances_policy=mixed_instances_policy, **kwargs)
    if mixed_instances_policy is None:
        self.mixed_instances_policy = before


state_init = InstanceState.__init__
terminate_member = AutoScalingBackend.terminate_instance


def state_with_its_template(self, *args, **kwargs):
    state_init(self, *args, **kwargs)
    self.made_from = current_template(self.auto_scaling_group)


def current_template(group):
    template = group.ec2_launch_template if group is not None else None
    if template is None:
        return None
    number = template.get_version(group.launch_template_version).number
    return {"LaunchTemplateId": template.id, "LaunchTemplateName": template.name, "Version": str(number)}


def terminate_a_member(self, instance_id, should_decrement):
    """moto breaks where AWS says that it knows no such member."""
    members = {state.instance.id for group in self.autoscaling_groups.values() for state in group.instance_states}
    if instance_id not in members:
        raise ValidationError(f"Instance Id not found - No managed instance found for instance ID: {instance_id}")
    return terminate_member(self, instance_id, should_decrement)


# A member stays what it was made from; moto says what the group would make now.
InstanceState.__init__ = state_with_its_template
InstanceState.launch_template = property(lambda self: self.made_from)
AutoScalingBackend.terminate_instance = terminate_a_member
LaunchTemplateVersion.__init__ = version_with_user_data
FakeAutoScalingGroup.update = update_what_is_given


def own_tags(self):
    """moto looks for a thing's tags among those of all things: a listing of 1,000 instances takes seconds."""
    if not self.id:
        return []
    kind = EC2_PREFIX_TO_RESOURCE.get(get_prefix(self.id), "")
    tags = self.ec2_backend.tags.get(self.id, {})
    return [{"resource_id": self.id, "key": key, "value": value, "resource_type": kind} for key, value in tags.copy().items()]


TaggedEC2Resource.get_tags = own_tags


# AWS's words for kinds that moto calls otherwise.
kinds = {"nat-gateway": "natgateway", "vpc-elastic-ip": "elastic-ip", "spot-instance-request": "spot-instances-request"}


def carries_tags(backend, resource_id):
    """Tags go with their thing: moto keeps them for ever. NAT gateways, endpoints and instances that are gone are shown for an hour."""
    prefix = get_prefix(resource_id)
    if prefix == "scr":
        subnets = [subnet for zone in backend.subnets.values() for subnet in zone.values()]
        return any(one.id == resource_id for subnet in subnets for one in subnet._cidr_reservations)
    if prefix == "eipalloc":
        return any(address.allocation_id == resource_id for address in backend.addresses)
    if prefix == "rtb":
        return resource_id in backend.route_tables
    listed = {
        "vpc": "vpcs",
        "igw": "internet_gateways",
        "nat": "nat_gateways",
        "vpce": "vpc_end_points",
        "eni": "enis",
        "lt": "launch_templates",
        "vol": "volumes",
    }
    return prefix not in listed or resource_id in getattr(backend, listed[prefix])


def describe_tags_as_ec2(self, filters=None):
    """A tag is told if it fulfils every filter by itself: moto knows no `tag:KEY`, calls some kinds otherwise, and tells of what is gone."""
    given = [(name, [re.compile(simple_aws_filter_to_re(value)) for value in values]) for name, values in (filters or {}).items()]

    def told(name, patterns, tag):
        if name.startswith("tag:"):
            return tag["key"] == name[4:] and any(pattern.match(tag["value"]) for pattern in patterns)
        text = tag[{"resource-id": "resource_id", "resource-type": "resource_type"}.get(name, name)]
        return any(pattern.match(text) for pattern in patterns)

    found = []
    for resource_id, tags in self.tags.copy().items():
        if not tags or not carries_tags(self, resource_id):
            continue
        kind = EC2_PREFIX_TO_RESOURCE.get(get_prefix(resource_id), "")
        for key, value in tags.items():
            tag = {"resource_id": resource_id, "key": key, "value": value, "resource_type": kinds.get(kind, kind)}
            if all(told(name, patterns, tag) for name, patterns in given):
                found.append(tag)
    return found


TagBackend.describe_tags = describe_tags_as_ec2


def state_of_route(self):
    """A way to what is gone, or is attached no more, is a black hole: moto says nothing of a route's state."""
    backend = self.route_table.ec2_backend
    if self.nat_gateway:
        nat = backend.nat_gateways.get(self.nat_gateway.id)
        return "active" if nat is not None and nat.state == "available" else "blackhole"
    if self.gateway and self.gateway.id.startswith("igw-"):
        there = backend.internet_gateways.get(self.gateway.id)
        attached = there is not None and there.vpc is not None and there.vpc.id == self.route_table.vpc_id
        return "active" if attached else "blackhole"
    return "active"


Route.state = property(state_of_route)

reservation_init = SubnetCidrReservation.__init__


def reservation_with_tags(self, *args, **kwargs):
    """moto forgets the tags that it is made with."""
    reservation_init(self, *args, **kwargs)
    for specification in self.tag_specifications:
        self.add_tags({tag["Key"]: tag["Value"] for tag in specification.get("Tags", [])})


SubnetCidrReservation.__init__ = reservation_with_tags


def end_with_parent():
    while sys.stdin.buffer.read(4096):
        pass
    os._exit(0)


# Last: it wraps what is mended above.
if os.environ.get("SLIPWAY_MOTO_HOOKS"):
    import moto_hooks

    moto_hooks.play()

logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = make_server(
    sys.argv[1],
    int(sys.argv[2]),
    DomainDispatcherApplication(create_backend_app),
    threaded=True,
    request_handler=Handler,
)
threading.Thread(target=end_with_parent, daemon=True).start()
print(server.server_port, flush=True)
server.serve_forever()
