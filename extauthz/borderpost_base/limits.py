"""Every bound of the product, with its unit and the reason for its value.

A limit has one home, here; code imports the constant, the docs' table is made from `LIMITS`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limit:
    """One bound."""

    name: str
    value: int
    unit: str
    reason: str


LIMITS: dict[str, Limit] = {}
"""Every limit by name, in order of registration."""


def _limit(name: str, value: int, unit: str, reason: str) -> int:
    if name in LIMITS:
        raise ValueError(f"limit {name} is registered twice")
    LIMITS[name] = Limit(name, value, unit, reason)
    return value


YAML_BYTES_MAX = _limit("yaml_bytes_max", 8 << 20, "bytes", "a policy of 10,000 entries is about 1 MiB")
YAML_DEPTH_MAX = _limit("yaml_depth_max", 64, "levels", "our deepest schema has 12 levels")
YAML_NODES_MAX = _limit(
    "yaml_nodes_max", 500_000, "nodes", "counted after aliases expand, so an anchor bomb stops here"
)
MANIFEST_BYTES_MAX = _limit(
    "manifest_bytes_max", 64 << 20, "bytes", "a Terraform plan of ten thousand resources is about 20 MiB"
)
CONFIG_DUMP_BYTES_MAX = _limit(
    "config_dump_bytes_max", 128 << 20, "bytes", "of Envoy; a gateway of 1,000 hosts dumps about 20 MiB"
)
CONFIG_DUMP_S_MAX = _limit("config_dump_s_max", 30, "seconds", "for Envoy's admin to write a whole dump on loopback")
YAML_INTEGER_DIGITS_MAX = _limit("yaml_integer_digits_max", 40, "digits", "no setting is beyond 2^64, which has 20")
PROBLEMS_MAX = _limit(
    "problems_max", 200, "mistakes", "told of one file at once; finding the nearest known name of each takes time"
)
NAMES_COMPARED_MAX = _limit(
    "names_compared_max", 200, "names", "that an unknown name is compared with: its neighbours in the alphabet"
)
HEADER_VALUE_BYTES_MAX = _limit(
    "header_value_bytes_max",
    256,
    "bytes",
    "longest value of any header we read; country, class, tenant and model names are short",
)
REQUEST_ID_BYTES_MAX = _limit("request_id_bytes_max", 128, "bytes", "Envoy's own request ids have 36")
CONTENT_DIGEST_BYTES_MAX = _limit(
    "content_digest_bytes_max", 256, "bytes", "SHA-256 and SHA-512 together have some 150 (RFC 9530)"
)
DATA_CLASSES_MAX = _limit("data_classes_max", 16, "classes a request", "one request names a handful")
PROOF_STANDINGS_MAX = _limit(
    "proof_standings_max", 200_000, "kinds", "routes times tenants times models of one proof; a second to sort out"
)
PROOF_DECLARATIONS_MAX = _limit(
    "proof_declarations_max",
    20_000,
    "kinds",
    "sets of data classes that a law tells apart; a handful of laws make tens",
)
PROOF_ATOMS_MAX = _limit("proof_atoms_max", 50_000_000, "atoms", "a proof over as many takes half an hour")
JWT_CLAIM_BYTES_MAX = _limit("jwt_claim_bytes_max", 256, "bytes", "a claim is a country or tenant name")
SAN_COUNT_MAX = _limit("san_count_max", 16, "names a certificate", "a client certificate carries one or two")
REQUEST_MESSAGE_BYTES_MAX = _limit(
    "request_message_bytes_max", 1 << 20, "bytes", "Envoy's own header limit is 60 KiB; metadata may add to it"
)
RECORD_BYTES_MAX = _limit(
    "record_bytes_max", 24 << 10, "bytes", "tlog-tiles bounds an entry at 65,535; ours stay readable"
)
RECORDED_EVENTS_MAX = _limit(
    "recorded_events_max", 6, "legal events a record", "the first by id; the digest of the list tells them all"
)
RUNNERS_UP_MAX = _limit("runners_up_max", 8, "regions a record", "the rest is counted by reason and rebuilt by replay")
REGIONS_MAX = _limit("regions_max", 1000, "regions", "legal sets are bit masks; beyond this a catalogue is a mistake")
GATEWAY_HOSTS_MAX = _limit(
    "gateway_hosts_max", 5000, "hosts", "of one rendered gateway; its object with 5,000 names has 200 KiB"
)
CLUSTER_NAME_BYTES_MAX = _limit(
    "cluster_name_bytes_max", 340, "bytes", "`outbound|PORT|SUBSET|HOST` of a host of 253 and a subset of 63"
)
KUBERNETES_OBJECT_BYTES_MAX = _limit(
    "kubernetes_object_bytes_max", 1_400_000, "bytes", "of one rendered object as JSON; etcd takes 1.5 MiB a request"
)
KUBERNETES_ANNOTATIONS_BYTES_MAX = _limit(
    "kubernetes_annotations_bytes_max", 256 << 10, "bytes", "of one object's annotations, which Kubernetes takes"
)
KUBERNETES_APPLIED_BYTES_MAX = _limit(
    "kubernetes_applied_bytes_max",
    240_000,
    "bytes",
    "of one rendered object where it can be split: `kubectl apply` keeps a copy in an annotation of at most 256 KiB",
)
FAILOVER_GROUPS_MAX = _limit(
    "failover_groups_max", 256, "groups", "each is a cluster of Envoy's; more than regions need for pairs and triples"
)
FAILOVER_REGIONS_MAX = _limit(
    "failover_regions_max", 4, "regions a group", "a request that three regions have failed fails by its own fault"
)
PROBE_PATH_BYTES_MAX = _limit("probe_path_bytes_max", 2048, "bytes", "a health page's path is a few words")
PROBE_REPLY_BYTES_MAX = _limit(
    "probe_reply_bytes_max", 4096, "bytes", "a status line; the rest of a probe's reply is not read"
)
PROBES_AT_ONCE_MAX = _limit("probes_at_once_max", 32, "connections", "a steward's sockets and a resolver's patience")
LATENCY_AREAS_MAX = _limit("latency_areas_max", 4096, "areas", "all of ISO 3166-2 has about 5,000 subdivisions")
REMEMBERED_AREAS_MAX = _limit(
    "remembered_areas_max", 512, "areas", "latency rows kept ready; by 300 regions one takes about 40 KiB"
)
REMEMBERED_RANKINGS_MAX = _limit(
    "remembered_rankings_max", 2048, "rankings", "by legal set and area; one of 300 regions takes about 3 KiB"
)
REMEMBERED_FACTS_MAX = _limit(
    "remembered_facts_max",
    8192,
    "entries",
    "bounds the memo against floods of distinct facts; with record and answer an entry takes about 7 KiB",
)
REMEMBERED_TABLES_MAX = _limit(
    "remembered_tables_max", 2048, "tables", "what records say of all regions; few legal sets, areas and reasons exist"
)
ADDRESS_BYTES_MAX = _limit("address_bytes_max", 64, "bytes", "an IPv6 address with a zone; longer text is no address")
REMEMBERED_REQUESTS_MAX = _limit(
    "remembered_requests_max", 16_384, "entries", "raw values of at most 2 KiB each; bounds the memo of facts"
)
REMEMBERED_MESSAGES_MAX = _limit(
    "remembered_messages_max", 16_384, "messages", "requests recognised by their bytes; about 1 KiB each"
)
REMEMBERED_ADDRESSES_MAX = _limit(
    "remembered_addresses_max", 65_536, "entries", "bounds the GeoIP memo against floods of addresses"
)
ANONYMISER_FILES_MAX = _limit(
    "anonymiser_files_max", 16, "files", "each is asked about every new address; publishers are few"
)
ANONYMISER_LIST_BYTES_MAX = _limit(
    "anonymiser_list_bytes_max", 16 << 20, "bytes", "a text of the most networks, with words and comments"
)
ANONYMISER_NETWORKS_MAX = _limit(
    "anonymiser_networks_max",
    250_000,
    "networks a list",
    "all Tor exits are 2,000, known VPN exits some 100,000; each worker reads so many in about a second",
)
REMEMBERED_MESSAGE_BYTES_MAX = _limit(
    "remembered_message_bytes_max", 2048, "bytes", "longer messages are parsed each time; usual ones have 200 to 700"
)
REMEMBERED_SAN_BYTES_MAX = _limit(
    "remembered_san_bytes_max", 2048, "bytes", "names of one certificate together; beyond it facts are worked out anew"
)
WORKERS_MAX = _limit("workers_max", 64, "processes", "one a core is enough")
METRIC_LABEL_VALUES_MAX = _limit(
    "metric_label_values_max", 1000, "values a label", "further values are counted as `other`"
)
AUDIT_PENDING_RECORDS_MAX = _limit(
    "audit_pending_records_max", 4096, "records", "waiting for one sync; at 1 ms a sync that is 4 million a second"
)
AUDIT_PENDING_BYTES_MAX = _limit(
    "audit_pending_bytes_max", 32 << 20, "bytes", "memory that a hanging disk may take in one worker"
)
RECORDED_NAME_BYTES_MAX = _limit(
    "recorded_name_bytes_max", 64, "bytes", "ids of regions, regimes and data classes in a record"
)
RECORDED_LABEL_BYTES_MAX = _limit(
    "recorded_label_bytes_max", 128, "bytes", "names that others choose, of tenants and models, in a record"
)
RECORDED_REASON_BYTES_MAX = _limit(
    "recorded_reason_bytes_max", 193, "bytes", "a reason is `regime/basis`: a name, a label and what joins them"
)
REFUSAL_REASONS_MAX = _limit(
    "refusal_reasons_max", 24, "reasons a record", "counts by reason beyond this are added up as `other`"
)
FEEDS_MAX = _limit("feeds_max", 64, "feeds", "what fires triggers is a handful of sources")
FEED_MESSAGE_BYTES_MAX = _limit("feed_message_bytes_max", 4096, "bytes", "a value and an instant")
SECRET_BYTES_MIN = _limit("secret_bytes_min", 16, "bytes", "128 random bits cannot be guessed")
SECRET_BYTES_MAX = _limit("secret_bytes_max", 4096, "bytes", "beyond it the file is no secret")
CERTIFICATE_FILE_BYTES_MAX = _limit(
    "certificate_file_bytes_max", 1 << 20, "bytes", "all public authorities together have a fifth of it"
)
FEED_AGE_S_MAX = _limit(
    "feed_age_s_max", 300, "seconds", "how far a webhook's message may be from now: what was overheard is worth no more"
)
FEED_STREAM_ENTRIES_MAX = _limit(
    "feed_stream_entries_max", 1000, "messages", "a gateway that starts hears those of the last while"
)
FEED_READ_S_MAX = _limit("feed_read_s_max", 5, "seconds", "for the body of a webhook's message to arrive")
LATE_EVENTS_RECORDED_MAX = _limit(
    "late_events_recorded_max", 64, "events a record", "the newest ones; the list that the record names has them all"
)
LIMITER_JSON_BYTES_MAX = _limit(
    "limiter_json_bytes_max", 1 << 20, "bytes", "a rate-limit question over HTTP; over gRPC it may be as long"
)
LIMITER_JSON_S_MAX = _limit(
    "limiter_json_s_max", 5, "seconds", "for a rate-limit question over HTTP to arrive, and again for its answer"
)
LIMITER_RULES_TOLD_MAX = _limit(
    "limiter_rules_told_max",
    10_000,
    "names",
    "of rules that a limiter's metrics tell apart; what is beyond is counted as `other`",
)
BODY_BYTES_MAX = _limit(
    "body_bytes_max", 16 << 20, "bytes", "that `payload.bytes_max` can allow; every open request may take so many"
)
BODIES_AWAITED_MAX = _limit(
    "bodies_awaited_max", 4096, "requests a worker", "whose bodies are awaited; Envoy collects a body before it asks"
)
BODIES_AWAITED_BYTES_MAX = _limit(
    "bodies_awaited_bytes_max", 32 << 20, "bytes a worker", "of headers whose bodies are awaited; each has about 500"
)
OBSERVED_PENDING_MAX = _limit(
    "observed_pending_max", 2048, "records", "of `audit_pending_records_max`: the rest is kept for what is enforced"
)
OBSERVED_CLUSTERS_MAX = _limit(
    "observed_clusters_max", 10_000, "clusters", "of Envoy's; ten for each region that there can be"
)
SUMMARY_VALUES_MAX = _limit(
    "summary_values_max", 10_000, "values", "of one kind that a summary tells apart; the rest is added up as `other`"
)
ALARM_INTERVAL_S = _limit(
    "alarm_interval_s", 60, "seconds", "between two lines in the log about one trouble, however many requests have it"
)
BODY_KEY_BYTES_MIN = _limit("body_key_bytes_min", 16, "bytes", "128 random bits cannot be guessed")
BODY_KEY_BYTES_MAX = _limit("body_key_bytes_max", 4096, "bytes", "beyond it the file is no key")
DETECTORS_MAX = _limit("detectors_max", 16, "detectors", "a record names each that found something")
JSON_POINTER_CHARACTERS_MAX = _limit("json_pointer_characters_max", 256, "characters", "a path of a few keys")
JSON_DEPTH_MAX = _limit(
    "json_depth_max", 64, "levels", "of a body; a tool's schema in a chat has some 20, and parsers differ from 100 on"
)
JSON_VALUES_MAX = _limit(
    "json_values_max", 100_000, "values", "of a body; a long prompt as token ids, read in some 10 ms"
)
JSON_NUMBER_CHARACTERS_MAX = _limit(
    "json_number_characters_max", 64, "characters", "a double is printed in 25; of more, parsers make different numbers"
)
DIGEST_HEADER_BYTES_MAX = _limit("digest_header_bytes_max", 1024, "bytes", "each algorithm there is takes some 600")
SEARCHED_DIGITS_MIN = _limit("searched_digits_min", 7, "digits", "no number of a person or an account has fewer")
DETECTOR_CANDIDATES_MAX = _limit(
    "detector_candidates_max",
    2_000,
    "candidates",
    "that one detector checks in one body; where there are more it counts as having found something",
)
PHONE_CANDIDATES_MAX = _limit(
    "phone_candidates_max", 500, "candidates", "numbers after a `+` that are checked in one body, each some 50 µs"
)
DETECTOR_WINDOWS_MAX = _limit(
    "detector_windows_max",
    200,
    "candidates",
    "that Presidio checks in one body, each some 100 µs; where there are more it counts as having found something",
)
FINDINGS_MAX = _limit("findings_max", 1000, "findings a report", "a log that is all damage is told by its first lines")
POLICY_PACKS_MAX = _limit("policy_packs_max", 64, "packs", "the record of a policy's activation names each of them")
POLICY_PLACES_MAX = _limit(
    "policy_places_max", 65_536, "places", "groups are bit masks over every place that policy tells apart"
)
REMEMBERED_INTERVALS_MAX = _limit(
    "remembered_intervals_max", 64, "intervals", "between two of which legal events change nothing; live there are two"
)
REMEMBERED_VERDICTS_MAX = _limit(
    "remembered_verdicts_max", 16_384, "entries", "what each regime says, by time and data classes; a policy uses few"
)
CLOCK_ERROR_FALLBACK_US = _limit(
    "clock_error_fallback_us", 1_000_000, "µs", "of a clock that nobody keeps; one that is kept is within some 10 ms"
)
EVENT_LIST_BYTES_MAX = _limit("event_list_bytes_max", 32 << 20, "bytes", "20,000 events of usual length take 20 MiB")
EVENT_LIST_LINES_MAX = _limit("event_list_lines_max", 20_000, "lines", "a line a day for fifty years")
EVENT_LINE_BYTES_MAX = _limit(
    "event_line_bytes_max",
    64 << 10,
    "bytes",
    "a line has about 800; one that names all regions of a large catalogue, 40,000",
)
EVENT_SIGNATURES_MAX = _limit("event_signatures_max", 16, "signatures an event", "two are needed at most")
EVENT_AHEAD_S_MAX = _limit(
    "event_ahead_s_max", 60, "seconds", "how far ahead of the clock a line may be dated: clocks differ by less"
)
SIGNER_KEY_BYTES_MAX = _limit("signer_key_bytes_max", 16 << 10, "bytes", "an Ed25519 key in PEM has about 120")
SIGNERS_MAX = _limit("signers_max", 256, "people", "those who may speak on the law are few")
SIGNER_KEYS_MAX = _limit("signer_keys_max", 32, "keys a signer", "one, and those it replaced")
TALLY_SLOTS_MAX = _limit(
    "tally_slots_max", 512, "slots", "months of counters in a worker's file: ten counters for four years"
)
POLICY_CASES_MAX = _limit("policy_cases_max", 100_000, "cases a file", "tests of a policy are asked in some seconds")
REGO_CASES_MAX = _limit(
    "rego_cases_max", 10_000, "cases", "seeded questions in an export's tests; OPA asks 100 in a second"
)
TRAFFIC_LINES_MAX = _limit(
    "traffic_lines_max", 100_000, "lines", "kinds of requests in a file of traffic; each has a weight"
)
TRAFFIC_LINE_BYTES_MAX = _limit("traffic_line_bytes_max", 64 << 10, "bytes", "a described request has about 100")
TRAFFIC_GROUPS_MAX = _limit(
    "traffic_groups_max", 20_000, "kinds", "requests of a log that are held in memory before they are weighed: 30 MiB"
)
FORESIGHT_KINDS_MAX = _limit(
    "foresight_kinds_max", 5000, "kinds", "that a comparison tells apart; what is beyond is counted together"
)
RISK_KINDS_MAX = _limit(
    "risk_kinds_max", 50_000, "kinds", "workloads times what law tells apart, each asked again for every loss"
)
RISK_HEDGES_MAX = _limit("risk_hedges_max", 200, "measures", "that are tried against every loss")
LIMITER_KEY_CHARACTERS_MAX = _limit(
    "limiter_key_characters_max", 256, "characters", "of a counter's name; a longer one gives way to its hash"
)
LIMITER_METRIC_CHARACTERS_MAX = _limit(
    "limiter_metric_characters_max", 256, "characters", "of a rule's name in the statistics that holds callers' values"
)
LIMITER_RULE_LIMITS_MAX = _limit(
    "limiter_rule_limits_max", 16, "limits a rule", "each is a counter that every request of the rule charges"
)
LIMITER_OVERRIDES_MAX = _limit(
    "limiter_overrides_max", 1024, "limits", "that requests bring themselves, kept compiled; few routes bring them"
)
LIMITER_WINDOW_S_MAX = _limit(
    "limiter_window_s_max", 100 * 365 * 86_400, "seconds", "a hundred years; its microseconds stay below 2^53"
)
LIMITER_TOLD_MAX = _limit(
    "limiter_told_max", 65_536, "counters", "of which a limiter knows what the store last said; about 0.5 KiB each"
)
LIMITER_OWED_MAX = _limit(
    "limiter_owed_max", 65_536, "charges", "that a store is told once it is back: one a counter, or an ended request"
)
LIMITER_OWED_AT_ONCE_MAX = _limit(
    "limiter_owed_at_once_max", 64, "charges", "that a store is told with one batch of requests once it is back"
)
LIMITER_HOLDS_MAX = _limit(
    "limiter_holds_max", 100_000, "leases or reservations", "of one counter in Redis, some 30 MB; then it is over"
)
LIMITER_HOLDS_EXPIRED_MAX = _limit(
    "limiter_holds_expired_max", 1_000, "leases or reservations", "that one charge lets go of: some 10 ms of a server"
)
LIMITER_COUNTERS_KNOWN_MAX = _limit(
    "limiter_counters_known_max", 65_536, "counters", "that are known to lie in a store; about 150 bytes each"
)
LIMITER_STORE_UNSENT_BYTES_MAX = _limit(
    "limiter_store_unsent_bytes_max", 8 << 20, "bytes", "of commands that a store does not read; then it is sent none"
)
LIMITER_STORE_REPLY_BYTES_MAX = _limit(
    "limiter_store_reply_bytes_max", 16 << 20, "bytes", "of a store that make no whole reply; 20 a counter do"
)
RECORDED_RULE_BYTES_MAX = _limit(
    "recorded_rule_bytes_max", 256, "bytes", "of a limit's place in its files; a longer one is cut, with its hash"
)
RECORDED_RULES_MAX = _limit("recorded_rules_max", 32, "rules a record", "of refusals; the rest is counted together")
REFUSALS_RECORDED_S_MAX = _limit(
    "refusals_recorded_s_max", 500, "records a second", "of limits that refuse; what is beyond is counted together"
)
REFUSAL_RECORD_WAIT_MS_MAX = _limit(
    "refusal_record_wait_ms_max", 15, "ms", "that a refusal waits for its record; Envoy asks for 20 ms unless told"
)
