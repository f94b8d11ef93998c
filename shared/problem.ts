/**
 * Every error a caller can meet: a stable `code`, its HTTP status, a title. The `detail` sentence is
 * written where the error is found and says what to do next. Rendered as RFC 9457 in one place.
 */
export const PROBLEMS = {
  bad_path: [400, "The path is malformed"],
  bad_query: [400, "A query parameter is malformed"],
  bad_header: [400, "A header is malformed"],
  bad_body: [400, "The request body is malformed"],
  bad_form: [400, "The form cannot be sent like this"],
  bad_rule: [400, "The rule is malformed"],
  unknown_platform: [400, "Unknown GOOS/GOARCH pair"],
  bad_checksum: [400, "The bytes do not match their SHA-256"],
  unauthorized: [401, "A token is needed"],
  forbidden: [403, "This token may not do that"],
  foreign_form: [403, "This form came from elsewhere"],
  remote_not_allowed: [403, "This remote is not allowed"],
  bad_signature: [403, "The webhook's signature is not right"],
  not_found: [404, "Nothing is here"],
  no_such_version: [404, "No such version"],
  no_such_repository: [404, "No such repository"],
  no_such_build: [404, "No such build"],
  no_such_file: [404, "No such file"],
  not_built: [404, "Not built"],
  building: [404, "Building"],
  build_failed: [404, "The build failed"],
  method_not_allowed: [405, "Method not allowed"],
  already_exists: [409, "already exists"],
  already_ended: [409, "The build has ended"],
  publishing: [409, "The build is being published"],
  attempt_over: [409, "This attempt is over"],
  name_taken: [409, "The name is taken"],
  stale_nonce: [409, "The nonce is too old"],
  length_required: [411, "The length of the body is needed"],
  precondition_failed: [412, "Precondition failed"],
  too_large: [413, "The request is too large"],
  unsupported_media_type: [415, "Unsupported content type"],
  range_not_satisfiable: [416, "Range not satisfiable"],
  bad_railhead_file: [422, "The repository's .railhead.json is malformed"],
  upgrade_required: [426, "A WebSocket upgrade is needed"],
  rate_limited: [429, "Too many builds from this caller"],
  queue_full: [429, "The queue is full"],
  head_too_large: [431, "The headers are too large"],
  internal: [500, "Internal error"],
  remote_unreachable: [502, "The git host did not answer"],
  app_broken: [502, "The app did not answer"],
  not_ready: [503, "Not ready"],
  app_down: [503, "The app is not connected"],
  overloaded: [503, "Too busy"],
} as const satisfies Record<string, readonly [status: number, title: string]>;

export type ProblemCode = keyof typeof PROBLEMS;

/** An error on its way to a caller. Thrown inside one room only; between objects it travels as a value. */
export class Problem extends Error {
  readonly code: ProblemCode;
  /** Extension members of the problem body (RFC 9457 section 3.2). */
  readonly members: Record<string, unknown>;
  readonly headers: Record<string, string>;

  constructor(
    code: ProblemCode,
    detail: string,
    extra: { members?: Record<string, unknown>; headers?: Record<string, string> } = {},
  ) {
    super(detail);
    this.name = "Problem";
    this.code = code;
    this.members = extra.members ?? {};
    this.headers = extra.headers ?? {};
  }

  get status(): number {
    return PROBLEMS[this.code][0];
  }

  get title(): string {
    return PROBLEMS[this.code][1];
  }
}
