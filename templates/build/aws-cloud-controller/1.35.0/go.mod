module slipway.build/aws-cloud-controller

go 1.25.0

require k8s.io/cloud-provider-aws v1.35.0
