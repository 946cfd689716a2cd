echo exit > run.sh
