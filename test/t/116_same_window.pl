# A change of cadence, anchor or time zone that leaves the present window the same keeps the count, with its holds, alerts and earlier
# windows; any other starts it afresh. The clock of the session is stopped (governance.fault_clock, src/base/fault.c).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

my $node = gov_node('same_window', conf => "timezone = 'UTC'\nautovacuum = off");

if ($node->psql('postgres', 'show governance.fault_clock') != 0)
{
	$node->stop;
	plan skip_all => 'built without -DGOV_FAULTS';
}
$node->safe_psql('postgres', q{
	insert into gov_entity_types (id) values ('org');
	insert into gov_capabilities (id) values ('tokens');
	insert into gov_entities (owner_id, id, type_id) values ('same', 'acme', 'org');
	create function usage_shown() returns text language sql as $$
		select format('%s+%s of %s to %s', trim_scale(current_usage), trim_scale(reserved_usage), usage_period_start, usage_period_end)
		from gov_headroom('same', 'tokens', 0, null, '{acme}')
	$$;
	create function change(change text) returns text language plpgsql as $$
	declare
		before bigint := (select counter_id from gov_assignments where owner_id = 'same');
		after bigint;
	begin
		execute format('update gov_assignments set %s where owner_id = %L returning counter_id', change, 'same') into after;
		return format('%s, %s', case when after = before then 'goes on' else 'afresh' end,
			(select trim_scale(current_usage) from gov_headroom('same', 'tokens', 0, null, '{acme}')));
	end $$;
});
my $session = $node->background_psql('postgres', on_error_stop => 0);

sub ask { return gov_ask($session, $_[0]); }

sub stand_at
{
	ask(qq{select set_config('governance.fault_clock', (extract(epoch from timestamptz '$_[0]' - timestamptz '2000-01-01') * 1000000)::bigint::text, false)});
	return;
}

sub use_of { return ask("select not is_duplicate from gov_ingest('same', 'tokens', $_[0], null, '{acme}')"); }

# A budget with a rule, of which 7 is used at a time.
sub begin_with
{
	my ($at, $rule) = @_;

	stand_at($at);
	ask(q{delete from gov_assignments where owner_id = 'same'});
	ask(q{insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit) values ('same', 'acme', 'tokens', 100)});
	ask("update gov_assignments set $rule where owner_id = 'same'");
	use_of(7);
	return;
}

# Changes, one after the other: after each, does the count go on?
sub goes_on { is(ask("select change(\$\$$_\$\$)"), 'goes on, 7', "goes on: $_") foreach @_; return; }
sub starts_afresh { is(ask("select change(\$\$$_[0]\$\$)"), 'afresh, 0', "afresh: $_[0]"); return; }
sub is_exact { is(ask('select count(*) from gov_verify()'), '0', "$_[0]: as the ledger says"); return; }

# ---- which changes

begin_with('2031-05-15 12:00', q{cadence = 'P1M'});
goes_on(q{anchor_at = '2031-05-01'}, q{anchor_at = '2031-04-01'}, q{anchor_at = '2020-01-01'}, q{anchor_at = null},
	q{cadence = 'P31D', anchor_at = '2031-05-01'}, q{cadence = 'P1M', anchor_at = null});
starts_afresh(q{anchor_at = '2031-05-01 00:00:00.000001'});
begin_with('2031-05-15 12:00', q{cadence = 'P1M'});
starts_afresh(q{cadence = 'P30D', anchor_at = '2031-05-01'});
begin_with('2031-05-15 12:00', q{cadence = 'P1W'});
goes_on(q{cadence = 'P7D'}, q{anchor_at = '2031-05-12'}, q{cadence = 'P1W', anchor_at = '2001-01-01'});
starts_afresh(q{anchor_at = '2001-01-02'});
begin_with('2031-05-15 12:00', q{cadence = 'PT1H'});
goes_on(q{cadence = 'PT60M'}, q{cadence = 'PT3600S', timezone = 'Europe/Berlin'});
starts_afresh(q{cadence = 'PT30M'});
begin_with('2031-05-15 12:00', q{cadence = 'P1D', anchor_at = '2031-01-15 08:00'});
goes_on(q{anchor_at = '2030-07-04 08:00'}, q{timezone = 'Africa/Abidjan'}, q{anchor_at = '2031-01-15 08:00'});
starts_afresh(q{timezone = 'Europe/Berlin'});

# zones: Lisbon and Dublin have London's time, and in winter UTC is the same; a window that has the change in it ends at another time
begin_with('2031-05-15 12:00', q{cadence = 'P1M', timezone = 'Europe/London'});
goes_on(q{timezone = 'Europe/Lisbon'}, q{timezone = 'Europe/Dublin'});
starts_afresh(q{timezone = 'UTC'});
begin_with('2031-12-15 12:00', q{cadence = 'P1M', timezone = 'Europe/London'});
goes_on(q{timezone = 'UTC'}, q{timezone = 'Africa/Abidjan'});
starts_afresh(q{timezone = 'Europe/Berlin'});
begin_with('2031-03-15 12:00', q{cadence = 'P1M', timezone = 'Europe/London'});
starts_afresh(q{timezone = 'UTC'});

# without a cadence there is one window, whatever the anchor and the zone
begin_with('2031-05-15 12:00', q{cadence = null});
goes_on(q{anchor_at = '2031-01-07'}, q{timezone = 'Asia/Tokyo'}, q{anchor_at = null, timezone = 'UTC'});
starts_afresh(q{cadence = 'P9999Y', anchor_at = '2000-01-01'});

# the functions write the same columns
begin_with('2031-05-15 12:00', q{cadence = 'P1M'});
my $counter = ask(q{select counter_id from gov_assignments where owner_id = 'same'});
foreach ([ '2031-03-01', 't' ], [ '2031-03-02', 'f' ])
{
	my ($anchor, $is_same) = @$_;

	ask(qq{select gov_upsert_assignments('same', '[{"entityId": "acme", "capabilityId": "tokens", "usageLimit": 90, "cadence": "P1M", "anchorAt": "$anchor"}]')});
	is(ask("select counter_id = $counter from gov_assignments where owner_id = 'same'"), $is_same, "gov_upsert_assignments with an anchor of $anchor");
}
is_exact('in the end');

# ---- what stays

ask(q{select gov_set_alert_policy('same', '{5}')});
begin_with('2031-03-15 12:00', q{cadence = 'P1M'});
stand_at('2031-05-15 12:00');
use_of(6);
ask(q{select gov_reserve('same', 'tokens', 3, null, '{acme}', null, '1000 days')});
gov_roll_up($node, 'postgres');
is(ask(q{select change($$cadence = 'P31D', anchor_at = '2031-05-01'$$)}), 'goes on, 6', 'a month of 31 days');
use_of(1);
gov_roll_up($node, 'postgres');
is(ask('select usage_shown()'), '7+3 of 2031-05-01 00:00:00+00 to 2031-06-01 00:00:00+00', 'its holds stay');
is(ask(q{select string_agg(format('%s: %s', window_start::date, threshold), ', ' order by window_start) from gov_alerts where owner_id = 'same'}),
	'2031-03-01: 5, 2031-05-01: 5', 'no alert is raised again');
stand_at('2031-07-01 12:00');
use_of(2);
is(ask('select usage_shown()'), '2+3 of 2031-06-01 00:00:00+00 to 2031-07-02 00:00:00+00', 'the next window goes by the new rule');
ask(q{select gov_ingest('same', 'tokens', 4, null, '{acme}', occurred_at => '2031-03-29 12:00')});
gov_roll_up($node, 'postgres');
is(ask(q{select string_agg(format('%s to %s: %s', window_start::date, window_end::date, trim_scale(amount)), ', ' order by window_start) from gov_usage where owner_id = 'same'}),
	'2031-02-28 to 2031-03-31: 4, 2031-03-01 to 2031-04-01: 7, 2031-05-01 to 2031-06-01: 7, 2031-06-01 to 2031-07-02: 2',
	'earlier windows stay, and a late event goes by the new rule');
is_exact('windows of two rules');

# ---- changes that are not committed

begin_with('2031-12-15 12:00', q{cadence = 'P1M'});
ask('begin');
is(ask(q{select change($$timezone = 'Africa/Abidjan'$$)}), 'goes on, 7', 'in an open transaction');
use_of(1);
is(ask('select usage_shown()'), '8+0 of 2031-12-01 00:00:00+00 to 2032-01-01 00:00:00+00', 'it counts on');
ask('rollback');
is(ask('select usage_shown()'), '7+0 of 2031-12-01 00:00:00+00 to 2032-01-01 00:00:00+00', 'rolled back');

# The window turns before the commit: to one of the old rule, which then ends as the new one says, later or earlier.
foreach ([ 'later', q{cadence = 'P1M'}, q{cadence = 'P31D', anchor_at = '2032-01-01'}, '2032-01-15', '2032-02-02' ],
	[ 'earlier', q{cadence = 'P31D', anchor_at = '2031-10-01'}, q{cadence = 'P1M', anchor_at = null}, '2031-10-15', '2031-11-15' ])
{
	my ($name, $old, $new, $begin, $turn) = @$_;

	begin_with("$begin 12:00", $old);
	ask('begin');
	is(ask("select change(\$\$$new\$\$)"), 'goes on, 7', "$name: goes on");
	stand_at("$turn 12:00");
	use_of(1);
	is(ask(q{select trim_scale(current_usage) from gov_headroom('same', 'tokens', 0, null, '{acme}')}), '1', "$name: another window");
	ask('commit');
	my $shown = ask('select usage_shown()');
	is_exact("$name: while it is cached");
	ask('select gov_refresh()');
	is(ask('select usage_shown()'), $shown, "$name: as a cold cache has it");
	my $expected = ask(q{select format('1+0 of %s to %s', window_start, window_end) from gov_assignments a, gov_window(a.cadence, a.anchor_at, a.timezone, gov_now()) where a.owner_id = 'same'});
	is($shown, $expected, "$name: the window is the new rule's");
	is_exact($name);
}

$session->quit;
$node->stop;
done_testing();
