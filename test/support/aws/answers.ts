import type { Service } from './model.ts';
import { escapeXml } from './xml.ts';

/** What goes back to the client. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}
/** An error in AWS's words. */
export interface Refusal {
  readonly status: number;
  readonly code: string;
  readonly message: string;
}
export const refuse = (code: string, message: string, status = 400): Refusal => ({ status, code, message });

/** What each service answers to too many requests. */
export const throttled = (service: Service): Refusal => {
  if (service === 'ec2') return refuse('RequestLimitExceeded', 'Request limit exceeded.', 503);
  if (service === 's3') return refuse('SlowDown', 'Please reduce your request rate.', 503);
  if (service === 'servicequotas') return refuse('TooManyRequestsException', 'Too Many Requests');
  return refuse(service === 'pricing' ? 'ThrottlingException' : 'Throttling', 'Rate exceeded');
};
/** What each service answers when it fails itself. */
export const failed = (service: Service, status: number): Refusal => {
  const code = status === 503 ? (service === 'ec2' ? 'Unavailable' : 'ServiceUnavailable') : 'InternalError';
  return refuse(service === 'iam' && status === 500 ? 'ServiceFailure' : code, 'An internal error has occurred', status);
};
/** What each service calls a request that it cannot accept. */
export const invalid = (service: Service, at: string, why: string): Refusal => {
  const codes: Partial<Record<Service, string>> = {
    ec2: 'InvalidParameterValue',
    s3: 'InvalidArgument',
    route53: 'InvalidInput',
  };
  if (service === 'ec2' && why === 'is required')
    return refuse('MissingParameter', `The request must contain the parameter ${at}`);
  if (service === 'servicequotas' || service === 'pricing') return refuse('ValidationException', `${at}: ${why}`);
  return refuse(codes[service] ?? 'ValidationError', `${at}: ${why}`);
};

/** An error in the shape of its service's protocol. */
export function answerOf(service: Service, { status, code, message }: Refusal, requestId: string): Answer {
  const json = service === 'servicequotas' || service === 'pricing';
  const error = `<Code>${code}</Code><Message>${escapeXml(message)}</Message>`;
  const xml = '<?xml version="1.0" encoding="UTF-8"?>';
  const body = json
    ? JSON.stringify({ __type: code, message })
    : service === 'ec2'
      ? `${xml}<Response><Errors><Error>${error}</Error></Errors><RequestID>${requestId}</RequestID></Response>`
      : service === 's3'
        ? `${xml}<Error>${error}<RequestId>${requestId}</RequestId></Error>`
        : `${xml}<ErrorResponse><Error><Type>${status < 500 ? 'Sender' : 'Receiver'}</Type>${error}</Error><RequestId>${requestId}</RequestId></ErrorResponse>`;
  const type = json ? 'application/x-amz-json-1.1' : 'text/xml;charset=UTF-8';
  return { status, headers: { 'content-type': type, 'x-amzn-requestid': requestId }, body: Buffer.from(body) };
}
