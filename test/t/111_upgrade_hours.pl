# The hours of 1.0: gov_usage_hourly was a table and is a view of gov_usage_by_time. An update keeps the rows, and what users have made
# of them; with the new library and the old extension hours go on; and a dump of 1.0 is restored.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;
use GovUpgrade;

my $node = gov_node('hours', extension => 0, conf => "timezone = 'UTC'\ngovernance.usage_grain = '15min'");
my $dir = PostgreSQL::Test::Utils::tempdir;

gov_provide_version($node, '1.0.0')
  or plan skip_all => 'the directory of extensions may not be written';

sub sql { return $node->safe_psql('postgres', $_[0]); }

# ---------------------------------------------------------------- 1.0 with the library of today

sql(q{
	create extension governance version '1.0.0';
	insert into gov_entity_types (id) values ('agent');
	insert into gov_capabilities (id) values ('tokens');
	insert into gov_entities (owner_id, id, type_id) values ('acme', 'a', 'agent'), ('acme', 'b', 'agent'), ('gone', 'c', 'agent');
	select gov_ingest('acme', 'tokens', 10 + n, null, array['a', 'b'], null, '2025-03-01 18:00Z'::timestamptz + n * interval '10 minutes') from generate_series(0, 11) n;
	select gov_ingest('gone', 'tokens', 1, null, '{c}')});
gov_roll_up($node, 'postgres');
is(sql(q{select entity_id, hour, amount, event_count from gov_usage_hourly where owner_id = 'acme' order by 1, 2}), <<'HOURS' =~ s/\n\z//r, 'hours are rolled up, whatever the setting');
a|2025-03-01 18:00:00+00|75|6
a|2025-03-01 19:00:00+00|111|6
b|2025-03-01 18:00:00+00|75|6
b|2025-03-01 19:00:00+00|111|6
HOURS
sql(q{select gov_delete_owner('gone')});
is(sql(q{select count(*) from gov_usage_hourly where owner_id = 'gone'}), '0', 'and go with their owner');

# ---------------------------------------------------------------- what users have made

sql(q{
	create role hours_app login; create role hours_reader login; create role hours_tenant login; create role hours_more login; create role hours_none login;
	select gov_grant('hours_app', 'app'), gov_grant('hours_reader', 'reader'), gov_grant('hours_tenant', 'tenant');
	alter role hours_tenant set governance.owner = 'acme';
	grant select on gov_usage_hourly to hours_more with grant option;
	create policy all_but_b on gov_usage_hourly as restrictive for select to hours_reader using (entity_id <> 'b');
	create table noted (hour timestamptz);
	create function note_hour() returns trigger language plpgsql as 'begin insert into public.noted values (new.hour); return null; end';
	create trigger noted after insert or update on gov_usage_hourly for each row execute function note_hour();
	create view days as select owner_id, entity_id, date_trunc('day', hour, 'UTC') as day, sum(amount) as amount from gov_usage_hourly group by 1, 2, 3;
	create view costs as select * from gov_attribution('acme', 'tokens', '{}', '-infinity', 'infinity', '1 day');
	create publication hours for table gov_usage_hourly});
my $all = 'select owner_id, capability_id, entity_id, hour, amount, event_count from gov_usage_hourly order by 1, 2, 3, 4';
my ($hours, $days, $costs) = map { sql($_) } $all, 'table days order by 1, 2, 3', 'table costs';

$node->command_ok([ 'pg_dump', '-Fc', '-f', "$dir/old", 'postgres' ], 'a dump of 1.0');
$node->command_ok([ 'pg_dump', '--extension=governance', '-Fc', '-f', "$dir/ours", 'postgres' ], 'and one of the extension alone');

# ---------------------------------------------------------------- the update

my $session = $node->background_psql('postgres');
is($session->query_safe(q{select sum(amount) from gov_usage_hourly where entity_id = 'a'}), '186', 'a session from before');
sql('alter extension governance update');
is(sql($all), $hours, 'every hour is there');
is($session->query_safe(q{select sum(amount) from gov_usage_hourly where entity_id = 'a'}), '186', 'for the session from before too');
$session->quit;
is(sql('select minute, grain_minutes, count(*) from gov_usage_by_time group by 1, 2'), '||4', 'as rows of an hour');
is(sql('table days order by 1, 2, 3'), $days, 'a view on the hours is as it was');
is(sql('table costs'), $costs, 'so is one on gov_attribution');
is(sql(q{select prrelid::regclass from pg_publication_rel}), 'gov_usage_by_time', 'a publication has the table');

sub seen_by
{
	my ($role, $relation) = @_;

	my ($ret, $stdout, $stderr) = $node->psql('postgres', "select string_agg(distinct entity_id, ',' order by entity_id) from $relation", extra_params => [ '-U', $role ]);
	return $ret == 0 ? $stdout : $stderr =~ /permission denied/ ? 'denied' : $stderr;
}
foreach my $relation (qw(gov_usage_hourly gov_usage_by_time))
{
	is(seen_by('hours_reader', $relation), 'a', "$relation: a reader, with the policy that was made");
	is(seen_by('hours_tenant', $relation), 'a,b', "$relation: a tenant");
	is(seen_by('hours_app', $relation), 'denied', "$relation: nobody else");
	is(sql(qq{select has_table_privilege('hours_more', '$relation', 'select with grant option')}), 't', "$relation: with grant option");
}
is(seen_by('hours_reader', q{gov_usage_sums('-infinity')}), 'a', 'a reader asks for sums');
is(seen_by('hours_tenant', q{gov_usage_sums('-infinity', bucket => '1 day', timezone => 'UTC')}), 'a,b', 'so does a tenant');
like(seen_by('hours_app', q{gov_usage_sums('-infinity')}), qr/denied/, 'nobody else does');
is(seen_by('hours_reader', q{(select group_key ->> 'agent' as entity_id from gov_attribution('acme', 'tokens', '{agent}', '-infinity', 'infinity', '1 day', 'Asia/Kolkata')) x}), 'a,b',
	'nor is gov_attribution in a time zone for somebody else');

# The clock of 1.0 rolled up hours; what is recorded now goes into quarters, and what is of an hour that is there too.
sql(q{
	truncate noted;
	select gov_ingest('acme', 'tokens', 1000, null, '{a}', null, '2025-03-01 18:05Z'), gov_ingest('acme', 'tokens', 2000, null, '{a}', null, '2025-03-01 18:40Z')});
gov_roll_up($node, 'postgres');
is(sql(q{select hour, minute, grain_minutes, amount, event_count from gov_usage_by_time where entity_id = 'a' order by 1, 2 nulls first}), <<'ROWS' =~ s/\n\z//r, 'each use is counted in one row');
2025-03-01 18:00:00+00|||1075|7
2025-03-01 18:00:00+00|30|15|2000|1
2025-03-01 19:00:00+00|||111|6
ROWS
is(sql(q{select hour, amount, event_count from gov_usage_hourly where entity_id = 'a' order by 1}), "2025-03-01 18:00:00+00|3075|8\n2025-03-01 19:00:00+00|111|6", 'and once in its hour');
is(sql('select count(*) from noted'), '2', 'a trigger fires on');
is(sql(q{select bucket_start, amount from gov_usage_sums('2025-03-01', bucket => '1 day', timezone => 'UTC') where entity_id = 'a'}), '2025-03-01 00:00:00+00|3186', 'days of UTC have both');
gov_raises($node, 'postgres', q{select * from gov_usage_sums('2025-01-01', bucket => '1 day', timezone => 'Asia/Kolkata')}, '22023', 'days of India, with an hour from before at their boundary');
is(sql(q{select local_start, sum(amount) from gov_usage_sums('2025-03-01 19:00Z', bucket => '1 day', timezone => 'Asia/Kolkata') where entity_id = 'a' group by 1}), '2025-03-02 00:00:00|111', 'and from after it on');

# Back to hours: a row that was of a part of an hour becomes one of all of it.
sql(q{select gov_ingest('acme', 'tokens', 5, null, '{b}', null, '2025-03-05 10:05Z'), gov_ingest('acme', 'tokens', 6, null, '{b}', null, '2025-03-05 10:50Z')});
gov_roll_up($node, 'postgres');
gov_set($node, 'governance.usage_grain', '1h');
sql(q{select gov_ingest('acme', 'tokens', 7, null, '{b}', null, '2025-03-05 10:20Z')});
gov_roll_up($node, 'postgres');
is(sql(q{select minute, grain_minutes, amount, event_count from gov_usage_by_time where hour = '2025-03-05 10:00Z' order by 1 nulls first}), "||12|2\n45|15|6|1", 'nothing is lost or counted twice');
is(sql(q{select amount, event_count from gov_usage_hourly where hour = '2025-03-05 10:00Z'}), '18|3', 'in the hour neither');
is(sql('select * from gov_verify()'), '', 'gov_verify finds nothing');
is(sql('select * from gov_setup_check()'), '', 'nothing of the extension is missing');

# Rights are dumped as before, so that a restored database has them.
my ($dump) = run_command([ 'pg_dump', '-s', '-d', $node->connstr('postgres') ]);
like($dump, qr/^GRANT SELECT ON TABLE public\.$_ TO hours_reader;$/m, "$_: the right to read it is dumped") foreach qw(gov_usage gov_usage_by_time gov_usage_hourly);
like($dump, qr/^GRANT ALL ON FUNCTION public\.gov_check\(.* TO hours_app;$/m, 'so is that to call');

# In a schema whose name must be quoted.
sql('create database quoted');
$node->safe_psql('quoted', q{
	create schema "of its own, 100%";
	create extension governance schema "of its own, 100%" version '1.0.0';
	set search_path = "of its own, 100%";
	select gov_grant('hours_reader', 'reader');
	alter extension governance update});
is($node->safe_psql('quoted', q{
		set role hours_reader;
		set search_path = "of its own, 100%";
		select count(*) from gov_usage_hourly, gov_usage_sums('-infinity', bucket => '1 day'), gov_attribution('acme', 'tokens', '{}', '-infinity', 'infinity', '1 day', 'UTC')}),
	'0', 'rights go on in any schema');

# ---------------------------------------------------------------- a dump of 1.0

# Into gov_usage_hourly nothing can be copied, and that is said. So while it is restored the table has the name that it had.
my @before = ('create extension governance', 'alter view gov_usage_hourly rename to usage_hourly_view', 'alter table gov_usage_by_time rename to gov_usage_hourly');
my @after = ('alter table gov_usage_hourly rename to gov_usage_by_time', 'alter view usage_hourly_view rename to gov_usage_hourly');

foreach ([ 'unprepared', '' ], [ 'prepared', '' ], [ 'as a replica', '-c session_replication_role=replica', '-j2' ])
{
	my ($how, $options, @args) = @$_;
	my $is_prepared = $how ne 'unprepared';

	sql('create database restored');
	$node->safe_psql('restored', join '; ', @before) if $is_prepared;
	{
		local $ENV{PGOPTIONS} = $options;
		my (undef, $errors) = run_command([ 'pg_restore', '--no-privileges', @args, '-d', $node->connstr('restored'), "$dir/ours" ]);

		is($errors, '', "$how: a dump of 1.0 is restored") if $is_prepared;
		like($errors, qr/cannot copy to view "gov_usage_hourly"/, "$how: a dump of 1.0 is not restored") unless $is_prepared;
	}
	if ($is_prepared)
	{
		$node->safe_psql('restored', join '; ', @after);
		is($node->safe_psql('restored', $all), $hours, "$how: with its hours");
		is($node->safe_psql('restored', 'select minute, grain_minutes, count(*) from gov_usage_by_time group by 1, 2'), '||4', "$how: as rows of an hour");
		is($node->safe_psql('restored', 'select * from gov_verify()'), '', "$how: gov_verify finds nothing");
		$node->safe_psql('restored', q{select gov_ingest('acme', 'tokens', 1, null, '{a}', null, '2025-03-01 18:30Z')});
		gov_roll_up($node, 'restored');
		is($node->safe_psql('restored', q{select sum(amount) from gov_usage_hourly where entity_id = 'a'}), '187', "$how: and they go on");
	}
	sql('drop database restored with (force)');
}

$node->stop;
done_testing();
