"""Lifecycle hooks of Auto Scaling groups, which moto keeps and never plays: a new member waits in Pending:Wait, one that is to go in
Terminating:Wait and runs on, until somebody completes the action or its heartbeat times out. For whoever has somebody to answer them (the lab).
"""

import os
import time

from moto.autoscaling import autoscaling_backends
from moto.autoscaling.exceptions import ValidationError
from moto.autoscaling.models import Activity, AutoScalingBackend, FakeAutoScalingGroup, InstanceState, TerminateInstanceActivity
from moto.autoscaling.responses import AutoScalingResponse
from moto.core.responses import ActionResult, EmptyResult
from moto.ec2.responses.instances import InstanceResponse

LAUNCHING = "autoscaling:EC2_INSTANCE_LAUNCHING"
TERMINATING = "autoscaling:EC2_INSTANCE_TERMINATING"
waits = {LAUNCHING: "Pending:Wait", TERMINATING: "Terminating:Wait"}

# A second of a heartbeat, in seconds: tests are impatient.
second = float(os.environ.get("SLIPWAY_MOTO_HOOKS", "1"))

state_init = InstanceState.__init__
set_desired_capacity = FakeAutoScalingGroup.set_desired_capacity
create_group = AutoScalingResponse.create_auto_scaling_group
delete_group = AutoScalingBackend.delete_auto_scaling_group
describe_groups = AutoScalingBackend.describe_auto_scaling_groups
describe_instances = InstanceResponse.describe_instances


def hook_of(group, transition):
    hooks = group.autoscaling_backend.describe_lifecycle_hooks(group.name)
    return next((hook for hook in hooks if hook.lifecycle_transition == transition), None)


def leaves(state):
    return state.lifecycle_state.startswith("Terminating")


def hold(state, transition):
    """Whether there is a hook to wait for."""
    hook = hook_of(state.auto_scaling_group, transition)
    if hook is None:
        return False
    state.lifecycle_state = waits[transition]
    state.held_by = hook
    state.held_until = time.monotonic() + int(hook.heartbeat_timeout) * second
    return True


def state_that_waits(self, *args, **kwargs):
    state_init(self, *args, **kwargs)
    self.held_by = None
    hold(self, LAUNCHING)


def end(group, states):
    """They go: after a hook where there is one, unless the group is deleted by force."""
    now = [state for state in states if getattr(group, "by_force", False) or not hold(state, TERMINATING)]
    group.instance_states = [state for state in group.instance_states if state not in now]
    if now:
        group.ec2_backend.terminate_instances([state.instance.id for state in now])


def set_desired_capacity_by_hooks(self, new_capacity):
    leaving = [state for state in self.instance_states if leaves(state)]
    staying = [state for state in self.instance_states if not leaves(state)]
    target = self.min_size if new_capacity is None else new_capacity
    removable = [state for state in staying if not state.protected_from_scale_in]
    victims = removable[: max(0, len(staying) - target)]
    if victims:
        self.desired_capacity = target
        end(self, victims)
        return
    self.instance_states = staying
    try:
        set_desired_capacity(self, new_capacity)
    finally:
        self.instance_states = self.instance_states + leaving


def members(self):
    return [state for state in self.instance_states if not leaves(state)]


def terminate_by_hooks(self, instance_id, should_decrement):
    for group in self.autoscaling_groups.values():
        for state in group.instance_states:
            if state.instance.id != instance_id:
                continue
            before = group.desired_capacity
            if not leaves(state):
                end(group, [state])
                group.set_desired_capacity(before - (1 if should_decrement else 0))
            return TerminateInstanceActivity(state.instance, before)
    raise ValidationError(f"Instance Id not found - No managed instance found for instance ID: {instance_id}")


def delete_by_force(self, group_name):
    """Our deletions are: what waits goes with the others."""
    group = self.autoscaling_groups.get(group_name)
    if group is not None:
        group.by_force = True
        end(group, list(group.instance_states))
    delete_group(self, group_name)
    for hook in self.describe_lifecycle_hooks(group_name):
        self.delete_lifecycle_hook(group_name, hook.name)


def proceed(state, result):
    group = state.auto_scaling_group
    held_by, state.held_by = state.held_by, None
    if held_by is None:
        return
    if held_by.lifecycle_transition == LAUNCHING and result == "CONTINUE":
        state.lifecycle_state = "InService"
        return
    group.instance_states = [other for other in group.instance_states if other is not state]
    group.ec2_backend.terminate_instances([state.instance.id])
    # A launch that was given up is tried again.
    group.set_desired_capacity(group.desired_capacity)


def expire(backend):
    for group in list(backend.autoscaling_groups.values()):
        for state in list(group.instance_states):
            if state.held_by is not None and time.monotonic() > state.held_until:
                proceed(state, state.held_by.default_result)


def describe_groups_of_now(self, *args, **kwargs):
    expire(self)
    return describe_groups(self, *args, **kwargs)


def describe_instances_of_now(self):
    expire(autoscaling_backends[self.current_account][self.region])
    return describe_instances(self)


def create_group_with_hooks(self):
    """Its hooks are there before its first member: moto does not know them here."""
    name = self._get_param("AutoScalingGroupName")
    given = self._get_param("LifecycleHookSpecificationList", [])
    backend = self.autoscaling_backend
    for hook in given if name not in backend.autoscaling_groups else ():
        backend.create_lifecycle_hook(
            name=hook["LifecycleHookName"],
            as_name=name,
            transition=hook["LifecycleTransition"],
            timeout=hook.get("HeartbeatTimeout"),
            result=hook.get("DefaultResult"),
        )
    return create_group(self)


def held(response):
    wanted = response._get_param("InstanceId")
    group = response.autoscaling_backend.autoscaling_groups.get(response._get_param("AutoScalingGroupName"))
    for state in group.instance_states if group else ():
        if state.instance.id == wanted and state.held_by is not None and state.held_by.name == response._get_param("LifecycleHookName"):
            return state
    raise ValidationError(f"No active Lifecycle Action found with instance ID {wanted}")


def complete_lifecycle_action(self):
    proceed(held(self), self._get_param("LifecycleActionResult"))
    return EmptyResult()


def record_lifecycle_action_heartbeat(self):
    state = held(self)
    state.held_until = time.monotonic() + int(state.held_by.heartbeat_timeout) * second
    return EmptyResult()


# vCPUs that all groups' machines may have; each has two.
room = int(os.environ.get("SLIPWAY_MOTO_GROUP_VCPUS", "0"))
launch_members = FakeAutoScalingGroup.replace_autoscaling_group_instances


def launch_within_quota(self, count_needed, propagated_tags):
    """AWS makes the group all the same, and tells in its activities why it has no members."""
    there = sum(len(members(group)) for group in self.autoscaling_backend.autoscaling_groups.values())
    if not room or (there + count_needed) * 2 <= room:
        return launch_members(self, count_needed, propagated_tags)
    failed = Activity("Launching a new EC2 instance.  Status Reason: quota", "a difference between desired and actual capacity", self, status_code="Failed")
    failed.status_message = (
        f"You have requested more vCPU capacity than your current vCPU limit of {room} allows for the instance bucket that the specified "
        "instance type belongs to. Launching EC2 instance failed."
    )
    self.failed = [failed, *getattr(self, "failed", [])]


def describe_scaling_activities(self):
    group = self.autoscaling_backend.autoscaling_groups.get(self._get_param("AutoScalingGroupName"))
    return ActionResult({"Activities": getattr(group, "failed", [])})


def play():
    FakeAutoScalingGroup.replace_autoscaling_group_instances = launch_within_quota
    AutoScalingResponse.describe_scaling_activities = describe_scaling_activities
    InstanceState.__init__ = state_that_waits
    FakeAutoScalingGroup.set_desired_capacity = set_desired_capacity_by_hooks
    FakeAutoScalingGroup.active_instances = members
    AutoScalingBackend.terminate_instance = terminate_by_hooks
    AutoScalingBackend.delete_auto_scaling_group = delete_by_force
    AutoScalingBackend.describe_auto_scaling_groups = describe_groups_of_now
    InstanceResponse.describe_instances = describe_instances_of_now
    AutoScalingResponse.create_auto_scaling_group = create_group_with_hooks
    AutoScalingResponse.complete_lifecycle_action = complete_lifecycle_action
    AutoScalingResponse.record_lifecycle_action_heartbeat = record_lifecycle_action_heartbeat
