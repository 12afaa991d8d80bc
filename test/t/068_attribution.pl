# The sums of gov_attribution are those of the calls, for every grouping: all subsets of four entity types and four dimensions, with
# buckets of every kind, in time zones whose clocks change; and those of gov_usage_hourly with the ledger's tail are too, wherever the
# rollup has got to. The calls are random and kept in a table of their own, and who they resolve to is worked out from it.
#
#     SEED=n prove ...     runs that seed and no other

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use GovRandom;
use GovTest;

use constant CALLS => 400;

# Of one seed the first, of the next the second.
my @zones = ([qw(America/New_York Asia/Kolkata Pacific/Apia)], [qw(UTC Australia/Lord_Howe America/Sao_Paulo)]);

my @seeds = defined $ENV{SEED} ? ($ENV{SEED}) : (1 .. 2);
my $node = gov_node('attribution');
my $session = $node->background_psql('postgres');

sub sql { return $session->query_safe($_[0]); }

sql(<<'SQL');
insert into gov_entity_types (id, attribution_keys)
values ('org', '{}'), ('team', '{team,squad}'), ('user', '{user}'), ('model', '{model}');
insert into gov_capabilities (id) values ('tokens'), ('calls');

create table calls (event_id bigint, owner_id text, capability_id text, amount numeric, dimensions jsonb, ids text[], at timestamptz);

create procedure record_calls()
language plpgsql
as $$
declare
    call calls;
begin
    for call in select * from calls c where c.event_id is null loop
        update calls c
        set event_id = (select i.event_id from gov_ingest(c.owner_id, c.capability_id, c.amount, c.dimensions, c.ids, null, c.at) i)
        where c = call;
    end loop;
end
$$;

-- Who a call resolves to: what it names and what its dimensions name, with all above.
create view resolved as
with recursive above (owner_id, id, ancestor) as
(
    select owner_id, id, id from gov_entities
    union all
    select a.owner_id, a.id, e.parent_id
    from above a
    join gov_entities e on e.owner_id = a.owner_id and e.id = a.ancestor
    where e.parent_id is not null
),
named as
(
    select c.event_id, c.owner_id, unnest(c.ids) as id from calls c
    union
    select c.event_id, c.owner_id, e.id
    from calls c
    cross join lateral jsonb_each_text(c.dimensions) d
    join gov_entities e on e.owner_id = c.owner_id and e.id = d.value
    join gov_entity_types t on t.id = e.type_id and d.key = any (t.attribution_keys)
)
select distinct n.event_id, n.owner_id, e.type_id, a.ancestor as id
from named n
join above a on a.owner_id = n.owner_id and a.id = n.id
join gov_entities e on e.owner_id = n.owner_id and e.id = a.ancestor;

-- A row per call, name of a grouping, and value: null where the call has none.
create table labels (event_id bigint, name text, value jsonb);
create index on labels (name, event_id);

create procedure make_labels()
language sql
as $$
    truncate labels;
    insert into labels
    select c.event_id, t.id, to_jsonb(r.id)
    from calls c
    cross join gov_entity_types t
    left join resolved r on r.event_id = c.event_id and r.type_id = t.id
    union all
    select c.event_id, d.name, nullif(c.dimensions -> d.name, 'null')
    from calls c
    cross join unnest('{feature,n,squad,nothing}'::text[]) d (name);
$$;

-- A bucket's start in the session's time zone.
create function bucket_start(bucket text, at timestamptz)
returns timestamptz
language sql
stable
return case bucket
    when '1 day' then date_trunc('day', at)
    when '7 days' then date_trunc('week', at)
    when '1 month' then date_trunc('month', at)
    when '3 months' then date_trunc('quarter', at)
    when '1 year' then date_trunc('year', at)
    when '2 days' then (timestamp '2001-01-01' + floor((at::date - date '2001-01-01') / 2.0)::int * interval '2 days')::timestamptz
    else timestamp '2001-01-01'::timestamptz
        + floor(extract(epoch from at - timestamp '2001-01-01'::timestamptz) / extract(epoch from bucket::interval))::bigint * bucket::interval
end;

-- The groupings whose sums are not those of the calls.
create function wrong_sums(owner text, capability text, from_time timestamptz, to_time timestamptz, buckets text[], out checked int, out wrong text)
language plpgsql
as $$
declare
    names constant text[] := '{org,team,user,model,feature,n,squad,nothing}';
    subset text[];
    bucket text;
    joins text;
    pairs text;
    difference bigint;
begin
    checked := 0;
    for number in 0..255 loop
        subset := array(select n.name from unnest(names) with ordinality n (name, place) where number >> (n.place - 1)::int & 1 = 1);
        select string_agg(format('join labels k%1$s on k%1$s.event_id = c.event_id and k%1$s.name = %2$L', place, name), ' '),
            string_agg(format('%L, k%s.value', name, place), ', ')
        into joins, pairs
        from unnest(subset) with ordinality s (name, place);
        bucket := buckets[number % cardinality(buckets) + 1];

        execute format($query$
            with expected as
            (
                select jsonb_build_object(%s) as group_key, case when $5 is not null then bucket_start($5, c.at) end as bucket_start,
                    trim_scale(sum(c.amount)) as amount, count(*) as event_count
                from calls c %s
                where c.owner_id = $1 and c.capability_id = $2 and c.at >= $3 and c.at < $4
                group by 1, 2
            ),
            told as
            (
                select * from gov_attribution($1, $2, $6, $3, $4, $5::interval)
            )
            select (select count(*) from (table expected except all table told) x) + (select count(*) from (table told except all table expected) x)
            $query$, coalesce(pairs, ''), coalesce(joins, ''))
        into difference
        using owner, capability, from_time, to_time, bucket, subset;
        checked := checked + 1;
        if difference <> 0 then
            wrong := concat_ws(', ', wrong, format('%s by %s in %s: %s rows', subset, bucket, current_setting('timezone'), difference));
        end if;
    end loop;
end
$$;

-- The rows of gov_usage_hourly, with the tail's, that are not those of the calls.
create view wrong_hours as
with expected as
(
    select c.owner_id, c.capability_id, coalesce(r.id, '') as entity_id, date_trunc('hour', c.at, 'UTC') as hour,
        sum(c.amount) as amount, count(*) as event_count
    from calls c
    left join resolved r on r.event_id = c.event_id
    group by 1, 2, 3, 4
),
told as
(
    select owner_id, capability_id, entity_id, hour, sum(amount) as amount, sum(event_count)::bigint as event_count
    from (
        select * from gov_usage_hourly
        union all
        select e.owner_id, e.capability_id, coalesce(x.id, ''), date_trunc('hour', e.occurred_at, 'UTC'), e.amount, 1
        from gov_events e
        left join lateral unnest(e.entity_ids) x (id) on true
        where e.id > coalesce((select r.watermark from gov_rollup_state r), 0)
    ) t
    group by 1, 2, 3, 4
)
select * from ((table expected except all table told) union all (table told except all table expected)) d;
SQL

# ---------------------------------------------------------------- random calls

my @entities;

sub make_entities
{
	my ($owner) = @_;
	my @trees = (org => 2, team => 4, user => 6);

	@entities = map { { id => $_, type => 'model', parent => undef } } 'm-1', '7';
	while (my ($type, $count) = splice @trees, 0, 2)
	{
		my @above = grep { $_->{type} ne 'model' && $_->{type} ne $type } @entities;
		push @entities, map { { id => "$type-$_", type => $type, parent => @above && chance(0.9) ? one_of(@above)->{id} : undef } } 1 .. $count;
	}
	sql('insert into gov_entities (owner_id, id, type_id, parent_id) values '
		  . join(', ', map { '(' . join(', ', map { literal($_) } $owner, @{$_}{qw(id type parent)}) . ')' } @entities));
	return;
}

# Some hours before or after what a clock or a calendar does, or any time of a year and a half.
sub random_time
{
	my $around = one_of('2024-11-03 06:00Z', '2025-01-01 00:00Z', '2025-03-09 07:00Z', '2025-04-05 15:00Z', '2018-11-04 03:00Z', '2018-02-18 02:00Z', '2011-12-30 10:00Z', '2025-03-31 18:30Z');
	return chance(0.6)
	  ? "timestamptz '$around' + interval '" . sprintf('%.6f', rand(2 * 86400) - 86400) . " seconds'"
	  : "timestamptz '2024-07-01 00:00Z' + interval '" . int(rand(500 * 86400)) . " seconds'";
}

sub random_calls
{
	my ($owner, $count) = @_;
	my @rows;

	foreach (1 .. $count)
	{
		my %dims;
		my @ids = map { one_of(@entities)->{id} } 1 .. one_of(0, 0, 1, 1, 2, 3);

		$dims{feature} = one_of('"chat"', '"code"', 'true', 'null') if chance(0.6);
		$dims{n} = one_of(1, '1.0', 2) if chance(0.3);
		$dims{squad} = one_of('"team-1"', '"team-2"', '"nobody"') if chance(0.3);
		$dims{user} = '"user-' . one_of(1 .. 7) . '"' if chance(0.4);
		$dims{model} = one_of('"m-1"', 7, '"7"') if chance(0.4);
		push @ids, 'nobody' if chance(0.1);
		push @rows, '(' . join(', ', literal($owner), literal(one_of('tokens', 'tokens', 'calls')), one_of(0, 1, 2.5, -1, '0.000000001', 1000, int(rand(100000))),
			chance(0.1) ? 'null' : literal('{' . join(', ', map { qq("$_": $dims{$_}) } sort keys %dims) . '}'), literal('{' . join(',', @ids) . '}'), random_time()) . ')';
	}
	sql('insert into calls (owner_id, capability_id, amount, dimensions, ids, at) values ' . join(",\n", @rows));
	sql('call record_calls()');
	return;
}

sub hours_are_right
{
	my ($when) = @_;

	is(sql('select count(*) from wrong_hours'), '0', "the hours and the tail are the calls': $when");
	return;
}

# ---------------------------------------------------------------- every grouping

my @buckets = (undef, '1 hour', '15 minutes', '6 hours', '1 day', '2 days', '7 days', '1 month', '3 months', '1 year');

foreach my $seed (@seeds)
{
	my $owner = "owner-$seed";

	note "seed $seed";
	srand($seed);
	make_entities($owner);
	random_calls($owner, CALLS / 2);
	gov_roll_up($node, 'postgres');
	hours_are_right("seed $seed, rolled up");

	# what is recorded from here on stays in the tail
	my $idle = $node->background_psql('postgres');
	$idle->query_safe("begin; select gov_ingest('idle', 'tokens', 1)");
	random_calls($owner, CALLS / 2);
	sql('call make_labels()');
	cmp_ok(sql('select count(*) from gov_events where id > (select watermark from gov_rollup_state)'), '>=', CALLS / 2, 'there is a tail');
	hours_are_right("seed $seed, with a tail");

	# each grouping meets another bucket in each zone
	foreach my $zone (@{ $zones[ ($seed + 1) % 2 ] })
	{
		my @range = one_of([ '-infinity', 'infinity' ], [ '-infinity', 'infinity' ], [ '2011-12-29', '2025-03-09 03:00' ]);

		sql("set timezone = '$zone'");
		is(sql("select checked, wrong from wrong_sums('$owner', 'tokens', '$range[0][0]', '$range[0][1]', '{" . join(',', map { $_ // 'null' } @buckets) . "}')"),
			'256|', "seed $seed, $zone: every grouping's sums are the calls'");
		push @buckets, shift @buckets;
	}
	sql("reset timezone");
	$idle->query_safe('rollback');
	$idle->quit;
	gov_roll_up($node, 'postgres');
	hours_are_right("seed $seed, all rolled up");
}

# The groupings without a type, which count each call once, add up to the ledger.
is( sql(q{select count(*) from gov_events e where not exists (select from calls c where c.event_id = e.id)}), '0', 'the ledger has the calls alone');
is( sql(q{
		select bool_and(a.amount = l.amount and a.event_count = l.event_count)
		from (select owner_id, capability_id, sum(amount) as amount, count(*) as event_count from gov_events group by 1, 2) l
		cross join lateral (select sum(amount) as amount, sum(event_count) as event_count
			from gov_attribution(l.owner_id, l.capability_id, '{feature,n,squad}', '-infinity', 'infinity', '1 day')) a}),
	't', 'and what is counted once adds up to it');

$session->quit;
$node->stop;
done_testing();
