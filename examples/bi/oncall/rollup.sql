-- How far the rollup is behind: reports of hours are older than live counts by this much.
select name, value, detail
from gov_stats
where name like 'rollup%'
order by name;
