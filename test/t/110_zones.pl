# Days and months of every time zone: what gov_usage_sums and gov_attribution say is what the ledger has, or gov_usage_sums refuses, for
# each length that governance.usage_grain has, and for rows of several lengths side by side. The zones are all of pg_timezone_names
# whose clocks differ.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

my $node = gov_node('zones', conf => "timezone = 'UTC'");

sub sql { return $node->safe_psql('postgres', $_[0]); }

sub set_grain
{
	my ($grain) = @_;

	gov_set($node, 'governance.usage_grain', $grain);
	return;
}

is(sql('show governance.usage_grain'), '1h', 'an hour by default');
is(sql(q{select enumvals from pg_settings where name = 'governance.usage_grain'}), '{15min,30min,1h}', 'which lengths there are');

# ---------------------------------------------------------------- the ledger

sql(<<'SQL');
insert into gov_entity_types (id) values ('team');
insert into gov_capabilities (id) values ('tokens');
insert into gov_entities (owner_id, id, type_id) select o, 'eng', 'team' from unnest('{hours,halves,quarters,mixed}'::text[]) o;

-- Where clocks are set, and a plain month; at, right before and right after each quarter of an hour, and in between.
create table used (n int generated always as identity, at timestamptz);
insert into used (at)
select d + q * interval '15 minutes' + case n % 3 when 0 then interval '0' when 1 then -interval '1 microsecond' else interval '5 minutes' end
from unnest('{2024-03-30, 2024-04-06, 2024-10-26, 2024-11-02, 2025-06-29, 2010-11-06, 2018-02-17, 2018-11-03}'::timestamptz[]) d,
	generate_series(0, 191) with ordinality q (q, n);

create procedure record_uses(owner text)
language sql
as $$ select count(gov_ingest(owner, 'tokens', u.n, null, '{eng}', null, u.at)) from used u $$;
SQL

foreach ([ '1h', 'hours' ], [ '30min', 'halves' ], [ '15min', 'quarters' ])
{
	my ($grain, $owner) = @$_;

	set_grain($grain);
	sql("call record_uses('$owner')");
	gov_roll_up($node, 'postgres');
}
is(sql(q{select owner_id, string_agg(distinct grain_minutes::text, ','), string_agg(distinct minute::text, ',') from gov_usage_by_time group by 1 order by 1}),
	"halves|30|0,30\nhours||\nquarters|15|0,15,30,45", 'rows know their grain');
is(sql(q{
		with wanted as (
			select owner_id, capability_id, 'eng' collate "C", date_trunc('hour', occurred_at, 'UTC'), sum(amount), count(*) from gov_events group by 1, 2, 4)
		select count(*) from ((table gov_usage_hourly except all table wanted) union all (table wanted except all table gov_usage_hourly)) d}),
	'0', 'and the hours are the same of all');

# ---------------------------------------------------------------- all zones

# One name for each way in which clocks go at these times, and those that AT TIME ZONE would take for abbreviations.
sql(<<'SQL');
create table zones (name text, clock text);

create function clock_of(zone text)
returns text
language plpgsql
as $$
begin
	perform set_config('timezone', zone, true);
	return (select md5(string_agg(u.at::timestamp::text, ',' order by u.n)) from used u);
end
$$;

insert into zones select z.name, clock_of(z.name) from pg_timezone_names z;
delete from zones z
where z.name not in ('UTC', 'CET', 'MET', 'EET', 'WET', 'Asia/Kolkata', 'Asia/Kathmandu', 'Australia/Lord_Howe', 'America/Havana', 'America/St_Johns')
	and exists (select from zones o where o.clock = z.clock and o.name < z.name);

-- What differs between the ledger and what is told of an owner: a word, or the message of a refusal.
create function told_in(owner text, zone text, bucket text, from_time timestamptz, out sums text, out attribution text)
language plpgsql
as $$
declare
	unit text := split_part(bucket, ' ', 2);
	wanted text;
begin
	perform set_config('timezone', zone, true);
	select string_agg(format('%s %s %s', local_start, amount, events), ', ' order by local_start)
	into wanted
	from (
		select date_trunc(unit, e.occurred_at::timestamp) as local_start, sum(e.amount) as amount, count(*) as events
		from gov_events e
		where e.owner_id = owner and e.occurred_at >= from_time
		group by 1
	) e;

	-- the session's zone does not matter
	perform set_config('timezone', 'Pacific/Chatham', true);
	begin
		sums := case when wanted = (
				select string_agg(format('%s %s %s', local_start, amount, event_count), ', ' order by local_start)
				from gov_usage_sums(from_time, 'infinity', bucket::interval, zone, array[owner]))
			then 'right' else 'wrong' end;
	exception when invalid_parameter_value then
		get stacked diagnostics sums = message_text;
	end;

	-- It does not look at the setting.
	if current_setting('governance.usage_grain') <> '15min' then
		return;
	end if;
	-- PostgreSQL takes the later of two midnights of one day, and the time after one that is left out.
	create temp table told on commit drop as select * from gov_attribution(owner, 'tokens', '{}', from_time, 'infinity', bucket::interval, zone);
	if current_setting('timezone') <> 'Pacific/Chatham' then
		raise exception 'the time zone was left behind';
	end if;
	perform set_config('timezone', zone, true);
	attribution := case when wanted = (
			select string_agg(format('%s %s %s', date_trunc(unit, bucket_start::timestamp), amount, event_count), ', ' order by bucket_start)
			from told)
		then 'right' else 'wrong' end;
	drop table told;
end
$$;

create table answers (grain text, zone text, owner text, bucket text, sums text, attribution text);

create procedure ask_all()
language plpgsql
as $$
declare
	z record;
begin
	for z in select * from zones loop
		insert into answers
		select current_setting('governance.usage_grain'), z.name, o, b, t.*
		from unnest('{hours,halves,quarters}'::text[]) o, (values ('1 day', '2024-01-01'::timestamptz), ('1 month', '-infinity')) b (b, f), told_in(o, z.name, b, f) t;
		commit;
	end loop;
end
$$;
SQL

foreach my $grain ('15min', '30min', '1h')
{
	set_grain($grain);
	sql('call ask_all()');
}
my $said = sql('select grain, owner, sums, count(*) from answers group by 1, 2, 3 order by 1, 2, 3');
note $said;
cmp_ok(sql('select count(*) from zones'), '>=', 60, 'there are zones to look at');
is(sql(q{select zone, bucket, owner from answers where attribution <> 'right'}), '', 'gov_attribution is right in every zone');
is(sql(q{select grain, zone, bucket, owner from answers where sums = 'wrong'}), '', 'no sums are wrong in any zone');
is(sql(q{select zone, bucket, sums from answers where owner = 'quarters' and grain = '15min' and sums <> 'right'}), '', 'quarters serve every zone of today');
set_grain('15min');
is(sql(q{select told_in('quarters', 'America/St_Johns', '1 day', '2010-01-01')}), '("a sum of 15 minutes does not add up to what is asked for",right)', 'Newfoundland set its clocks a minute past midnight until 2011');

sub answers_of
{
	my ($grain, $owner, $zone) = @_;

	return sql(qq{select string_agg(sums, ', ' order by bucket) from answers where grain = '$grain' and owner = '$owner' and zone = '$zone'});
}
my $right = 'right, right';
my %old = map { $_ => join ', ', ("a sum of $_ minutes does not add up to what is asked for") x 2 } 60, 30;
my $short = join ', ', ('sums of 60 minutes do not add up to what is asked for') x 2;

is(answers_of($_->[0], $_->[1], 'UTC'), $right, "UTC: $_->[1] with $_->[0]") foreach map { my $g = $_; map { [ $g, $_ ] } qw(hours halves quarters) } qw(15min 30min 1h);
is(answers_of('1h', $_, 'Asia/Kolkata'), $short, "India: $_, which the setting does not promise") foreach qw(hours halves quarters);
is(answers_of('30min', 'hours', 'Asia/Kolkata'), $old{60}, 'India: hours of before');
is(answers_of('30min', 'halves', 'Asia/Kolkata'), $right, 'India: halves');
is(answers_of('15min', 'halves', 'Asia/Kathmandu'), $old{30}, 'Nepal: halves of before');
is(answers_of('15min', 'quarters', 'Asia/Kathmandu'), $right, 'Nepal: quarters');
is(answers_of('30min', 'halves', 'Australia/Lord_Howe'), $right, 'Lord Howe, whose clocks are set by half an hour');
is(answers_of('1h', 'hours', 'Australia/Lord_Howe'), $short, 'Lord Howe: hours');

$node->stop;
done_testing();
