"""The buckets of the InfluxDB history: made where they are missing, and told to keep points long enough."""

from __future__ import annotations

import json

import structlog
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.domain.bucket import Bucket
from influxdb_client.domain.bucket_retention_rules import BucketRetentionRules
from influxdb_client.domain.organization import Organization
from influxdb_client.domain.patch_bucket_request import PatchBucketRequest
from influxdb_client.domain.patch_retention_rule import PatchRetentionRule
from influxdb_client.rest import ApiException
from influxdb_client.service.buckets_service import BucketsService

from gridwarden.history import HistoryUnavailable

DAY_S = 86_400
_NOT_FOUND = 404
_MAY_NOT = {401, 403}
"""InfluxDB says 401 to a good token without the right, too."""
_log = structlog.get_logger(__name__)


def prepare(client: InfluxDBClient, name: str, keep_days: int) -> bool:
    """Make the bucket ``name`` in the client's organisation, or lengthen what it keeps to ``keep_days``; whether made.

    A bucket that keeps points longer, or for ever, is left as it is: what is too old is deleted by us.

    Raises:
        HistoryUnavailable: there is none and the token may not make one.
        ApiException: everything else that InfluxDB has against it.
    """
    found = _found(client, name)
    if found is None:
        _make(client, name, keep_days)
    else:
        _keep(client, found, keep_days)
    return found is None


def _found(client: InfluxDBClient, name: str) -> Bucket | None:
    """The bucket; ``None`` where there is none, or none that the token may read."""
    try:
        buckets = client.buckets_api().find_buckets(name=name, org=client.org).buckets
    except ApiException as error:
        if error.status == _NOT_FOUND:
            return None
        raise
    return buckets[0] if buckets else None


def _make(client: InfluxDBClient, name: str, keep_days: int) -> None:
    rules = BucketRetentionRules(type="expire", every_seconds=keep_days * DAY_S)
    try:
        organisation = _organisation(client)
        client.buckets_api().create_bucket(bucket_name=name, org=organisation, retention_rules=rules)
    except ApiException as error:
        if error.status not in _MAY_NOT | {_NOT_FOUND}:
            raise
        msg = (
            f"InfluxDB has no bucket {name!r} in an organisation {client.org!r} that this token may read, and does not"
            f" let it make one ({reason_of(error)}): make the bucket, to keep points for ever or for at least"
            f" {keep_days} days, or give a token that may"
        )
        raise HistoryUnavailable(msg) from error
    _log.info("history.bucket_made", bucket=name, keep_days=keep_days)


def _organisation(client: InfluxDBClient) -> Organization:
    found: list[Organization] = client.organizations_api().find_organizations(org=client.org)
    if not found:  # or not for this token
        raise ApiException(status=_NOT_FOUND, reason="organization not found")
    return found[0]


def _keep(client: InfluxDBClient, found: Bucket, keep_days: int) -> None:
    kept_s = min((rule.every_seconds for rule in found.retention_rules or () if rule.every_seconds), default=None)
    if kept_s is None or kept_s >= keep_days * DAY_S:
        return
    rule = PatchRetentionRule(type="expire", every_seconds=keep_days * DAY_S)
    facts = {"bucket": found.name, "kept_days": round(kept_s / DAY_S, 1), "keep_days": keep_days}
    try:
        BucketsService(client.api_client).patch_buckets_id(found.id, PatchBucketRequest(retention_rules=[rule]))
    except ApiException as error:
        if error.status not in _MAY_NOT:
            raise
        _log.error("history.bucket_forgets_too_early: lengthen its retention, or lower retention_days", **facts)
    else:
        _log.warning("history.bucket_retention_lengthened", **facts)


def reason_of(error: ApiException) -> str:
    """What InfluxDB says, or the proxy before it, cut to a readable length."""
    body = error.body if error.body is not None else error.reason
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body or "")
    try:
        return str(json.loads(text)["message"])[:500]
    except (ValueError, KeyError, TypeError, RecursionError):
        return text[:500]
